/* Stands between a process and the kernel: counts its effects on a folder, writes them down,
 * and at the k-th one kills it or lies to it. Linux on x86-64, through ptrace.
 *
 * The child calls meddle_child() and goes on; its parent calls meddle(). A filter stops the
 * child at system calls that change files and at no others, in every thread and process of it.
 * It sees what goes round every library: SQLite's writes and those of the extension.
 *
 * A record of the trace: "NAME k fd offset length path[\tpath2]\n", then `length` bytes of data.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRACE, KILL, FAIL_ONCE, FAIL_FOR_GOOD, SHORT, TORN };
enum { PATHS_MAX = 4096 };

static const int EFFECTS[] = {
    SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev, SYS_pwritev2, SYS_open, SYS_openat,
    SYS_creat, SYS_ftruncate, SYS_truncate, SYS_fsync, SYS_fdatasync, SYS_sync_file_range,
    SYS_rename, SYS_renameat, SYS_renameat2, SYS_unlink, SYS_unlinkat, SYS_rmdir, SYS_mkdir,
    SYS_mkdirat, SYS_link, SYS_linkat, SYS_symlink, SYS_symlinkat, SYS_fallocate,
    SYS_copy_file_range, SYS_sendfile, SYS_mknod, SYS_mknodat, SYS_fchmod, SYS_fchown,
    SYS_chmod, SYS_chown,
};
enum { MANY = sizeof EFFECTS / sizeof *EFFECTS };

int meddle_child(void) {
    struct sock_filter filter[MANY + 3];
    int n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                               offsetof(struct seccomp_data, nr));
    for (int i = 0; i < MANY; i++)
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, EFFECTS[i],
                                                   MANY - i, 0);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    struct sock_fprog program = {n, filter};
    if (ptrace(PTRACE_TRACEME, 0, 0, 0)) return errno;
    raise(SIGSTOP);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return errno;
    return 0;
}

static int read_memory(pid_t pid, unsigned long at, void *into, size_t length) {
    struct iovec here = {into, length}, there = {(void *)at, length};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)length ? 0 : -1;
}

static void read_path(pid_t pid, unsigned long at, char *into) {
    size_t n = 0;
    while (n + 1 < PATHS_MAX && read_memory(pid, at + n, into + n, 1) == 0 && into[n]) n++;
    into[n] = 0;
}

static void path_of(pid_t pid, int fd, char *into) {
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", pid, fd);
    ssize_t n = readlink(link, into, PATHS_MAX - 1);
    into[n > 0 ? n : 0] = 0;
}

static long offset_of(pid_t pid, int fd) {
    char name[64];
    long flags = 0, offset = -1;
    snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", pid, fd);
    FILE *file = fopen(name, "r");
    if (file == NULL) return -1;
    if (fscanf(file, "pos:\t%ld flags:\t%lo", &offset, &flags) != 2) offset = -1;
    fclose(file);
    return offset;
}

struct effect {
    const char *name;
    char path[PATHS_MAX], path2[PATHS_MAX];
    int fd;
    long offset, length;
    unsigned long data;
    int is_write; /* may be short */
    int refused;  /* no test knows how to replay it */
};

/* Says what a stopped system call is about to do; 0 if it changes nothing. */
static int look(pid_t pid, const struct user_regs_struct *r, struct effect *e) {
    memset(e, 0, sizeof *e);
    e->fd = -1;
    long a = r->rdi, b = r->rsi, c = r->rdx;
    switch (r->orig_rax) {
    case SYS_write:
        e->name = "write"; e->fd = a; e->data = b; e->length = c; e->is_write = 1;
        e->offset = offset_of(pid, a); break;
    case SYS_pwrite64:
        e->name = "write"; e->fd = a; e->data = b; e->length = c; e->is_write = 1;
        e->offset = r->r10; break;
    case SYS_ftruncate: e->name = "truncate"; e->fd = a; e->offset = b; break;
    case SYS_fsync: case SYS_fdatasync: e->name = "fsync"; e->fd = a; break;
    case SYS_fchmod: case SYS_fchown: e->name = "mode"; e->fd = a; break;
    case SYS_open: case SYS_openat: {
        long flags = r->orig_rax == SYS_open ? b : c;
        if (!(flags & (O_CREAT | O_TRUNC))) return 0;
        e->name = flags & O_TRUNC ? "create-empty" : "create";
        read_path(pid, r->orig_rax == SYS_open ? a : b, e->path);
        break;
    }
    case SYS_rename: e->name = "rename"; read_path(pid, a, e->path); read_path(pid, b, e->path2);
        break;
    case SYS_renameat: case SYS_renameat2: e->name = "rename"; read_path(pid, b, e->path);
        read_path(pid, r->r10, e->path2); break;
    case SYS_unlink: e->name = "unlink"; read_path(pid, a, e->path); break;
    case SYS_unlinkat: e->name = c & AT_REMOVEDIR ? "rmdir" : "unlink"; read_path(pid, b, e->path);
        break;
    case SYS_rmdir: e->name = "rmdir"; read_path(pid, a, e->path); break;
    case SYS_mkdir: e->name = "mkdir"; read_path(pid, a, e->path); break;
    case SYS_mkdirat: e->name = "mkdir"; read_path(pid, b, e->path); break;
    default: {
        /* Something else that changes files: none of ours does that in the folder. */
        e->name = "other"; e->refused = 1; e->offset = r->orig_rax; e->fd = a;
        break;
    }
    }
    if (e->fd >= 0) path_of(pid, e->fd, e->path);
    return 1;
}

static void record(FILE *trace, pid_t pid, const struct effect *e, long k) {
    int length = e->is_write ? (int)e->length : 0;
    fprintf(trace, "%s %ld %d %ld %d %s\t%s\n", e->name, k, e->fd, e->offset, length, e->path,
            e->path2);
    if (length) {
        char *data = malloc(length);
        if (data == NULL || read_memory(pid, e->data, data, length)) abort();
        fwrite(data, 1, length, trace);
        free(data);
    }
}

/* Traces `child` to its end. Returns its wait status; the effects counted go to *count.
 * mode: as above; `at` counts effects below `prefix` from 1; `error` is what FAIL_* say. */
int meddle(pid_t child, const char *prefix, int mode, long at, int error, const char *trace_path,
           long *count) {
    FILE *trace = trace_path ? fopen(trace_path, "w") : NULL;
    static struct effect e;
    int status, result = -1;
    size_t n = strlen(prefix);
    *count = 0;
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return -1;
    ptrace(PTRACE_SETOPTIONS, child, 0,
           PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
               PTRACE_O_EXITKILL);
    ptrace(PTRACE_CONT, child, 0, 0);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (pid == child) { result = status; break; }
            continue;
        }
        int event = status >> 16, signal = WSTOPSIG(status), pass = 0;
        if (event == PTRACE_EVENT_SECCOMP) {
            struct user_regs_struct r;
            ptrace(PTRACE_GETREGS, pid, 0, &r);
            if (look(pid, &r, &e) &&
                (strncmp(e.path, prefix, n) == 0 || strncmp(e.path2, prefix, n) == 0)) {
                long k = ++*count;
                if (trace) record(trace, pid, &e, k);
                if (mode == KILL && k == at) {
                    kill(child, SIGKILL);
                    continue;
                }
                if (((mode == SHORT || mode == TORN) && k == at) && e.is_write && e.length > 1) {
                    r.rdx = e.length / 2;
                    ptrace(PTRACE_SETREGS, pid, 0, &r);
                } else if ((mode == FAIL_ONCE && k == at) || (mode == FAIL_FOR_GOOD && k >= at) ||
                           (mode == TORN && k == at + 1)) {
                    r.orig_rax = -1; /* the call is left out, and this is its answer */
                    r.rax = -error;
                    ptrace(PTRACE_SETREGS, pid, 0, &r);
                }
            }
        } else if (event == 0 && signal != SIGSTOP && signal != SIGTRAP) {
            pass = signal;
        }
        ptrace(PTRACE_CONT, pid, 0, pass);
    }
    if (trace) fclose(trace);
    return result;
}
