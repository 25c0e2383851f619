/* For linux.uml on processors whose registers take more than its kernel knows of (AMX): the host's kernel sets all of
 * them at once or none. What User Mode Linux leaves out stays as it is. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXTENDED_STATE 0x202 /* NT_X86_XSTATE */

static long call(long request, long pid, void *address, void *data) {
    return syscall(SYS_ptrace, request, pid, address, data);
}

long ptrace(enum __ptrace_request request, ...) {
    static char all[65536] __attribute__((aligned(64)));
    va_list list;
    va_start(list, request);
    pid_t pid = va_arg(list, pid_t);
    void *address = va_arg(list, void *);
    void *data = va_arg(list, void *);
    va_end(list);
    if ((int)request == PTRACE_SETREGSET && (long)address == EXTENDED_STATE) {
        struct iovec *given = data, whole = {all, sizeof all};
        if (call(PTRACE_GETREGSET, pid, address, &whole) < 0)
            return -1;
        if (whole.iov_len > given->iov_len) {
            memcpy(all, given->iov_base, given->iov_len);
            return call(request, pid, address, &whole);
        }
    }
    if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
        /* The C library gives the word as the result. */
        long word;
        if (call(request, pid, address, &word) < 0)
            return -1;
        errno = 0;
        return word;
    }
    return call(request, pid, address, data);
}
