/* SPDX-License-Identifier: MIT
 * Preloaded into a daemon under test (LD_PRELOAD): makes allocations, reads, writes and threads fail that its own code
 * asks for, and moves the wall clock, as the page of numbers in FAULTS_FILE says, which the test writes into meanwhile.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The page: test_faults.py names the same places. */
enum {
    ALLOC_AT,     /* the so-manieth allocation from now fails; 0 or less: none */
    ALLOCS,       /* allocations asked for so far */
    ALLOC_FAILED, /* of them, made to fail */
    LIVE,         /* blocks of the whole process that were not freed */
    IO_EVERY,     /* every so-manieth read or write is interrupted or cut short; 0: none */
    IO_DONE,      /* disturbed so far */
    CLOCK_S,      /* seconds that the wall clock is ahead */
    THREAD_AT,    /* the so-manieth thread from now is not started; less than 0: none is */
    PLACES
};

static _Atomic int64_t nowhere[PLACES];
static _Atomic int64_t *page = nowhere;

/* Code that faults are meant for: allocations and threads of its own, reads and writes of what it speaks through, too.
 * Not libmicrohttpd's: it asks for edges of sockets that do not block, where a call that is cut short at will means
 * that nothing more has come. */
static struct range {
    uintptr_t begin, end;
    bool own;
} ranges[16];
static size_t n_ranges;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);

static int look(struct dl_phdr_info *info, size_t size, void *user)
{
    static const char *const own[] = {"libsotto", "libjansson"}, *const other[] = {"libsndfile", "libhiredis"};
    bool mine = !*info->dlpi_name && !n_ranges, speaks = mine; /* the program is first */
    (void)size;
    (void)user;
    for (size_t i = 0; i < 2; i++) {
        mine |= strstr(info->dlpi_name, own[i]) != NULL;
        speaks |= mine || strstr(info->dlpi_name, other[i]) != NULL;
    }
    for (int i = 0; speaks && i < info->dlpi_phnum && n_ranges < 16; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || !(h->p_flags & PF_X)) continue;
        ranges[n_ranges++] =
            (struct range){info->dlpi_addr + h->p_vaddr, info->dlpi_addr + h->p_vaddr + h->p_memsz, mine};
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTS_FILE");
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof nowhere, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0) close(fd);
    dl_iterate_phdr(look, NULL);
    if (p != MAP_FAILED) page = p;
}

static bool is_from(const void *caller, bool own)
{
    for (size_t i = 0; i < n_ranges; i++)
        if ((uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end) return ranges[i].own || !own;
    return false;
}

/* ---- allocations ---- */

/* jansson 2.14's parser runs into an assertion of its own where memory runs out within a string (load.c,
 * lex_scan_string): nothing fails while it parses. */
static _Thread_local bool parsing;

typedef struct json_t json_t;
json_t *json_loads(const char *text, size_t flags, void *error);
json_t *json_loads(const char *text, size_t flags, void *error)
{
    static json_t *(*next)(const char *, size_t, void *);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "json_loads");
    parsing = true;
    json_t *value = next(text, flags, error);
    parsing = false;
    return value;
}

json_t *json_loadb(const char *text, size_t n, size_t flags, void *error);
json_t *json_loadb(const char *text, size_t n, size_t flags, void *error)
{
    static json_t *(*next)(const char *, size_t, size_t, void *);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "json_loadb");
    parsing = true;
    json_t *value = next(text, n, flags, error);
    parsing = false;
    return value;
}

static bool refused(const void *caller)
{
    if (parsing || !is_from(caller, true)) return false;
    atomic_fetch_add(&page[ALLOCS], 1);
    if (atomic_load(&page[ALLOC_AT]) <= 0 || atomic_fetch_sub(&page[ALLOC_AT], 1) != 1) return false;
    atomic_fetch_add(&page[ALLOC_FAILED], 1);
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    if (p) atomic_fetch_add_explicit(&page[LIVE], 1, memory_order_relaxed);
    return p;
}

void *malloc(size_t n) { return refused(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t size)
{
    return refused(__builtin_return_address(0)) ? NULL : counted(__libc_calloc(n, size));
}
void *realloc(void *p, size_t n)
{
    if (refused(__builtin_return_address(0))) return NULL;
    void *q = __libc_realloc(p, n);
    return p ? q : counted(q);
}
void *aligned_alloc(size_t alignment, size_t n)
{
    return refused(__builtin_return_address(0)) ? NULL : counted(__libc_memalign(alignment, n));
}
int posix_memalign(void **out, size_t alignment, size_t n)
{
    if (refused(__builtin_return_address(0)) || !(*out = counted(__libc_memalign(alignment, n)))) return ENOMEM;
    return 0;
}
char *strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char *p = refused(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(n));
    return p ? memcpy(p, s, n) : NULL;
}
char *strndup(const char *s, size_t most)
{
    const size_t n = strnlen(s, most);
    char *p = refused(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(n + 1));
    if (!p) return NULL;
    p[n] = '\0';
    return memcpy(p, s, n);
}
void free(void *p)
{
    if (p) atomic_fetch_sub_explicit(&page[LIVE], 1, memory_order_relaxed);
    __libc_free(p);
}

/* ---- reads and writes ---- */

/* How many of n bytes this call may have; 0: it is interrupted. */
static size_t share(const void *caller, size_t n)
{
    static _Atomic int64_t calls;
    const int64_t every = atomic_load(&page[IO_EVERY]);
    if (every <= 0 || !n || !is_from(caller, false)) return n;
    const int64_t call = atomic_fetch_add(&calls, 1);
    if (call % every) return n;
    atomic_fetch_add(&page[IO_DONE], 1);
    if (n > 16 && call / every % 2) return n / 2;
    errno = EINTR;
    return 0;
}

#define DISTURBED(type, name, parameters, arguments)                                                                   \
    type name parameters                                                                                               \
    {                                                                                                                  \
        static type(*next) parameters;                                                                                 \
        if (!next) *(void **)&next = dlsym(RTLD_NEXT, #name);                                                          \
        const size_t asked = n;                                                                                        \
        n = share(__builtin_return_address(0), n);                                                                     \
        return asked && !n ? -1 : next arguments;                                                                      \
    }

DISTURBED(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
DISTURBED(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
DISTURBED(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
DISTURBED(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))

/* ---- the wall clock ---- */

int clock_gettime(clockid_t which, struct timespec *t)
{
    static int (*next)(clockid_t, struct timespec *);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
    const int failed = next(which, t);
    if (which == CLOCK_REALTIME) t->tv_sec += atomic_load(&page[CLOCK_S]);
    return failed;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

/* ---- threads ---- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
    if (is_from(__builtin_return_address(0), true)) {
        const int64_t at = atomic_load(&page[THREAD_AT]);
        if (at < 0 || (at > 0 && atomic_fetch_sub(&page[THREAD_AT], 1) == 1)) return EAGAIN;
    }
    return next(thread, attr, run, arg);
}
