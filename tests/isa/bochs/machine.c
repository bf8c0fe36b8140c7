/* SPDX-License-Identifier: MIT
 * As much of Linux as a static test program wants of it (rom.S has set up the processor): loads the program that
 * begins the ROM, gives it memory, prints what it writes on the serial port, and ends the emulation when it ends. One
 * thread, no files. It lives in ROM, its variables in low memory. */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE 0xffe00000l
enum { HEAP = 0x4000000, MAPS = 0x8000000, STACK = 0x3ff0000 }; /* run_avx512: 256 MiB */
enum {
    WRITE = 1,
    MMAP = 9,
    MPROTECT,
    MUNMAP,
    BRK,
    WRITEV = 20,
    EXIT = 60,
    ARCH_PRCTL = 158,
    FUTEX = 202,
    EXIT_ALL = 231
};
enum { BAD_FILE = 9, NO_SUCH_CALL = 38, SET_FS = 0x1002, FS_BASE = (int)0xc0000100 };

uint64_t *machine_load(void);
long machine_call(long call, long a, long b, long c, long d, long e);

static long heap, maps;

static void out(uint16_t port, uint8_t byte) { __asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"(port)); }

static uint8_t in(uint16_t port)
{
    uint8_t byte;
    __asm__ volatile("inb %1, %0" : "=a"(byte) : "Nd"(port));
    return byte;
}

static void clear(long at, long n) { __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(0) : "memory"); }

static long print(const char *text, long n)
{
    for (long i = 0; i < n; i++) {
        while (!(in(0x3fd) & 0x20)) {
        }
        out(0x3f8, (uint8_t)text[i]);
    }
    return n;
}

static void end(long status)
{
    static const char word[] = "Shutdown";
    char line[] = "ended with 0\n";
    line[sizeof line - 3] = (char)(status < 10 ? '0' + status : '9');
    print(line, sizeof line - 1);
    while (!(in(0x3fd) & 0x40)) { /* the last byte has left */
    }
    for (size_t i = 0; i < sizeof word - 1; i++) out(0x8900, (uint8_t)word[i]);
    for (;;) __asm__ volatile("hlt");
}

/* Copies the segments to their places; returns the stack that the program begins with, its entry point below. */
uint64_t *machine_load(void)
{
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)IMAGE;
    const Elf64_Phdr *part = (const Elf64_Phdr *)(IMAGE + head->e_phoff);
    uint64_t *top = (uint64_t *)STACK, *p = top;
    for (int i = 0; i < head->e_phnum; i++) {
        if (part[i].p_type != PT_LOAD) continue;
        const char *from = (const char *)(IMAGE + part[i].p_offset);
        char *to = (char *)part[i].p_vaddr;
        for (size_t k = 0; k < part[i].p_memsz; k++) to[k] = k < part[i].p_filesz ? from[k] : 0;
    }
    out(0x3fb, 3); /* serial port: 8 bits */
    heap = HEAP;
    maps = MAPS;
    top[-1] = head->e_entry;
    *p++ = 1;
    *p++ = (uint64_t) "test";
    *p++ = 0; /* end of the arguments */
    *p++ = 0; /* no environment */
    const uint64_t auxiliary[] = {AT_PHDR,   (uint64_t)part, AT_PHENT,  sizeof *part, AT_PHNUM, head->e_phnum,
                                  AT_PAGESZ, 4096,           AT_RANDOM, IMAGE,        AT_NULL,  0};
    for (size_t i = 0; i < sizeof auxiliary / sizeof *auxiliary; i++) *p++ = auxiliary[i];
    return top;
}

long machine_call(long call, long a, long b, long c, long d, long e)
{
    (void)d, (void)e;
    switch (call) {
    case WRITE:
        return a == 1 || a == 2 ? print((const char *)b, c) : -BAD_FILE;
    case WRITEV: {
        const struct {
            const char *text;
            long n;
        } *part = (const void *)b;
        long n = 0;
        for (long i = 0; i < c; i++) n += print(part[i].text, part[i].n);
        return n;
    }
    case MMAP: {
        const long at = maps;
        maps += (b + 4095) & -4096;
        clear(at, maps - at);
        return at;
    }
    case BRK:
        if (a > heap && a < MAPS) {
            clear(heap, a - heap);
            heap = a;
        }
        return heap;
    case ARCH_PRCTL:
        if (a != SET_FS) return -NO_SUCH_CALL;
        __asm__ volatile("wrmsr" : : "c"(FS_BASE), "a"((uint32_t)b), "d"((uint32_t)(b >> 32)));
        return 0;
    case MPROTECT:
    case MUNMAP:
    case FUTEX:
        return 0;
    case EXIT:
    case EXIT_ALL:
        end(a);
        return 0;
    default:
        return -NO_SUCH_CALL;
    }
}
