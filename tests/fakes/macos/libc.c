/* The two calls of macOS's C library that tailflip makes, in their own structures, answered from
 * Linux's /proc. Sources: XNU bsd/sys/proc.h and bsd/sys/sysctl.h, sysctl(3). */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CTL_KERN = 1, KERN_PROC = 14, KERN_PROC_PID = 1, SRUN = 2, SZOMB = 5 };

struct mac_timeval {
    int64_t tv_sec;
    int32_t tv_usec;
};

struct extern_proc {
    union {
        struct {
            void *forw, *back;
        } p_st1;
        struct mac_timeval p_starttime;
    } p_un;
    void *p_vmspace;
    void *p_sigacts;
    int p_flag;
    char p_stat;
    int32_t p_pid;
    char rest[252];
};

struct kinfo_proc {
    struct extern_proc kp_proc;
    char kp_eproc[352];
};

_Static_assert(sizeof(struct extern_proc) == 296, "extern_proc");
_Static_assert(sizeof(struct kinfo_proc) == 648, "kinfo_proc");

static int answer(void *old, size_t *room, const void *data, size_t size)
{
    if (*room < size) {
        errno = ENOMEM;
        return -1;
    }
    memcpy(old, data, size);
    *room = size;
    return 0;
}

static int64_t boot_second(void)
{
    char line[256];
    long long found = 0;
    FILE *file = fopen("/proc/stat", "re");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "btime %lld", &found);
    if (file)
        fclose(file);
    return found;
}

int sysctl(int *name, unsigned length, void *old, size_t *room, void *new, size_t new_size)
{
    struct kinfo_proc found = {0};
    char path[64], text[1024], state = 0;
    unsigned long long ticks = 0;
    if (length != 4 || name[0] != CTL_KERN || name[1] != KERN_PROC || name[2] != KERN_PROC_PID ||
        new != NULL || new_size != 0) {
        errno = EINVAL;
        return -1;
    }
    snprintf(path, sizeof path, "/proc/%d/stat", name[3]);
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = 0;
    const char *after = strrchr(text, ')');
    if (after == NULL || sscanf(after + 1,
                                " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d"
                                " %*d %*d %*d %llu",
                                &state, &ticks) != 2) {
        *room = 0; /* no such process: no error, and nothing to say */
        return 0;
    }
    uint64_t micro = ticks * 1000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);
    found.kp_proc.p_un.p_starttime.tv_sec = boot_second() + (int64_t)(micro / 1000000);
    found.kp_proc.p_un.p_starttime.tv_usec = (int32_t)(micro % 1000000);
    found.kp_proc.p_stat = state == 'Z' ? SZOMB : SRUN;
    found.kp_proc.p_pid = name[3];
    return answer(old, room, &found, sizeof found);
}

int sysctlbyname(const char *name, void *old, size_t *room, void *new, size_t new_size)
{
    static const char uuid[37] = "5E6FFEBE-0000-4000-8000-C0FFEE000001";
    if (strcmp(name, "kern.bootsessionuuid") != 0 || new != NULL || new_size != 0) {
        errno = ENOENT;
        return -1;
    }
    return answer(old, room, uuid, sizeof uuid);
}
