/* SPDX-License-Identifier: MIT
 * The firmware of run_avx512's machine, the last 64 KiB of its ROM: from reset to 64-bit mode with AVX-512 switched
 * on, memory and ROM mapped onto themselves, then machine.c. Programs run at ring 0; `syscall` ends up in machine_call. */
    .code16
    .section .start, "ax"
start16:
    cli
    lgdtl %cs:gdt_pointer - start16
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $8, $start32

    .code32
start32:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl $0x1000, %edi
    movl $0x800, %ecx
    rep stosl
    movl $0x2003, 0x1000                /* pages of 1 GiB: the first for programs, the fourth has the ROM */
    movl $0x00000083, 0x2000
    movl $0xc0000083, 0x2018
    movl $0x40620, %eax                 /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    movl %eax, %cr4
    movl $0x1000, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx              /* EFER: LME, SCE */
    rdmsr
    orl $0x101, %eax
    wrmsr
    movl $0x80000033, %eax              /* PG, NE, ET, MP, PE */
    movl %eax, %cr0
    ljmpl $24, $start64

    .code64
start64:
    xorl %ecx, %ecx                     /* XCR0: x87, SSE, AVX and the three parts of AVX-512 */
    xorl %edx, %edx
    movl $0xe7, %eax
    xsetbv
    fninit
    movl $0xc0000081, %ecx              /* STAR */
    xorl %eax, %eax
    movl $24, %edx
    wrmsr
    movl $0xc0000082, %ecx              /* LSTAR */
    movl $on_syscall, %eax
    xorl %edx, %edx
    wrmsr
    movl $0x90000, %esp
    call machine_load
    movq %rax, %rsp                     /* argc, arguments, environment, auxiliary vector; the entry point below */
    xorl %edx, %edx
    jmp *-8(%rsp)

/* rax(rdi, rsi, rdx, r10, r8); rcx = where to go on, r11 = flags, all else is kept. */
on_syscall:
    leaq -128(%rsp), %rsp               /* the caller's red zone */
    pushq %r11
    pushq %rcx
    pushq %rdi
    pushq %rsi
    pushq %rdx
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %rbp
    movq %rsp, %rbp
    andq $-16, %rsp
    movq %r8, %r9
    movq %r10, %r8
    movq %rdx, %rcx
    movq %rsi, %rdx
    movq %rdi, %rsi
    movq %rax, %rdi
    call machine_call
    movq %rbp, %rsp
    popq %rbp
    popq %r10
    popq %r9
    popq %r8
    popq %rdx
    popq %rsi
    popq %rdi
    popq %rcx
    popfq
    leaq 128(%rsp), %rsp
    jmp *%rcx

    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

    .section .note.GNU-stack, "", @progbits
    .section .reset, "ax"               /* 0xffff0: a jump to start16, modulo 64 KiB */
    .byte 0xe9, 0x0d, 0x00
    .fill 13, 1, 0xf4
