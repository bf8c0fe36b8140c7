/* SPDX-License-Identifier: MIT
 * cmocka with the headers it wants before it. */
#ifndef SOTTO_TEST_CMOCKA_ALL_H
#define SOTTO_TEST_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
