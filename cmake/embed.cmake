# SPDX-License-Identifier: MIT
# cmake -DFILE=in -DNAME=page -DOUT=out.c -P embed.cmake: the file's bytes as `const unsigned char page[]`, a NUL behind
# them, and their number page_size. Without a file: none.
set(hex "")
if(FILE)
  file(READ ${FILE} hex HEX)
endif()
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "#include \"pages.h\"\nconst unsigned char ${NAME}[] = {\n${bytes}0};\nconst size_t ${NAME}_size = ${size};\n")
