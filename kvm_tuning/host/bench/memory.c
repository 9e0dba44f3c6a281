/*
 * Two threads read random blocks of two buffers, and count what that took.
 *
 *   memory SIZE_MIB BLOCKS SEED NODE0,NODE1|- CPUS0 CPUS1
 *
 * SIZE_MIB is the size of each buffer, BLOCKS how many blocks of 1 KiB each
 * thread reads. Buffer i is bound to NODEi; with - it is where the kernel puts
 * it for a thread that may run anywhere. Thread i may run on the pCPUs CPUSi,
 * numbers with commas. Prints one JSON object. A count that the kernel does
 * not show is null.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#define BLOCK 1024
#define WORDS (BLOCK / sizeof(uint64_t))
#define NODES 1024
#define MPOL_BIND 2
/* How many blocks are read between two looks at where the thread runs. */
#define LOOK 4096
#define CHUNK 4096

struct work {
    pthread_t thread;
    cpu_set_t cpus;
    uint64_t seed, blocks, checksum, ns;
    long faults, voluntary, involuntary, migrations;
    uint64_t looks[NODES];
};

static uint64_t *buffers[2];
static size_t bytes;
static pthread_barrier_t start;

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* splitmix64, in the public domain (Vigna). */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long migrations(void)
{
    char line[256];
    long found = -1;
    FILE *file = fopen("/proc/thread-self/sched", "r");

    if (!file)
        return -1;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "se.nr_migrations : %ld", &found) == 1)
            break;
    fclose(file);
    return found;
}

static void *reads(void *argument)
{
    struct work *work = argument;
    struct rusage before, after;
    uint64_t state = work->seed, sum = 0, begun;
    const uint64_t blocks = bytes / BLOCK;
    long moved;

    if (sched_setaffinity(0, sizeof work->cpus, &work->cpus))
        die("sched_setaffinity");
    moved = migrations();
    pthread_barrier_wait(&start);
    getrusage(RUSAGE_THREAD, &before);
    begun = now();
    for (uint64_t done = 0; done < work->blocks; done++) {
        unsigned cpu, node;

        state = mix(state);
        const uint64_t *block = buffers[state & 1] + (state >> 1) % blocks * WORDS;

        for (size_t word = 0; word < WORDS; word++)
            sum += block[word];
        if (done % LOOK == 0 && !syscall(SYS_getcpu, &cpu, &node, NULL)
            && node < NODES)
            work->looks[node]++;
    }
    work->ns = now() - begun;
    getrusage(RUSAGE_THREAD, &after);
    work->checksum = sum;
    work->faults = after.ru_minflt + after.ru_majflt - before.ru_minflt
        - before.ru_majflt;
    work->voluntary = after.ru_nvcsw - before.ru_nvcsw;
    work->involuntary = after.ru_nivcsw - before.ru_nivcsw;
    work->migrations = moved < 0 ? -1 : migrations() - moved;
    return NULL;
}

static void bind_to(void *address, unsigned node)
{
    unsigned long mask[NODES / (8 * sizeof(unsigned long))] = {0};

    if (node >= NODES - 1) {
        errno = EINVAL;
        die("mbind");
    }
    mask[node / (8 * sizeof *mask)] = 1ul << node % (8 * sizeof *mask);
    if (syscall(SYS_mbind, address, bytes, MPOL_BIND, mask, (unsigned long)NODES, 0))
        die("mbind");
}

static void parse(const char *text, cpu_set_t *cpus)
{
    char *end;

    CPU_ZERO(cpus);
    for (;; text = end + 1) {
        long cpu = strtol(text, &end, 10);

        if (end == text || cpu < 0 || cpu >= CPU_SETSIZE) {
            errno = EINVAL;
            die(text);
        }
        CPU_SET(cpu, cpus);
        if (*end != ',')
            break;
    }
}

/* Count the pages of both buffers by node. */
static int pages(uint64_t *counts, uint64_t *elsewhere)
{
    static void *addresses[CHUNK];
    static int status[CHUNK];
    const long size = sysconf(_SC_PAGESIZE);

    for (int which = 0; which < 2; which++)
        for (size_t at = 0; at < bytes;) {
            unsigned long count = 0;

            for (; count < CHUNK && at < bytes; at += (size_t)size)
                addresses[count++] = (char *)buffers[which] + at;
            if (syscall(SYS_move_pages, 0, count, addresses, NULL, status, 0))
                return -1;
            for (unsigned long each = 0; each < count; each++)
                if (status[each] >= 0 && status[each] < NODES)
                    counts[status[each]]++;
                else
                    (*elsewhere)++;
        }
    return 0;
}

static long huge_kib(void)
{
    char line[256];
    long found = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    if (!file)
        return -1;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "AnonHugePages: %ld", &found) == 1)
            break;
    fclose(file);
    return found;
}

static void hypervisor(char *name)
{
    name[0] = 0;
#if defined(__x86_64__) || defined(__i386__)
    unsigned a, b, c, d;

    if (__get_cpuid(1, &a, &b, &c, &d) && c >> 31) {
        __cpuid(0x40000000, a, b, c, d);
        memcpy(name, &b, 4);
        memcpy(name + 4, &c, 4);
        memcpy(name + 8, &d, 4);
        name[12] = 0;
    }
    for (char *at = name; *at; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            *at = '?';
#endif
}

static void number(const char *name, long value)
{
    if (value < 0)
        printf("\"%s\": null, ", name);
    else
        printf("\"%s\": %ld, ", name, value);
}

static void nodes(const char *name, const uint64_t *counts)
{
    const char *comma = "";

    printf("\"%s\": {", name);
    for (int node = 0; node < NODES; node++)
        if (counts[node]) {
            printf("%s\"%d\": %" PRIu64, comma, node, counts[node]);
            comma = ", ";
        }
    printf("}, ");
}

int main(int count, char **words)
{
    static struct work work[2];
    static uint64_t counts[NODES];
    uint64_t elsewhere = 0, seed;
    struct rusage before, after;
    char name[13];
    unsigned node[2];
    int known;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count != 7) {
        fprintf(stderr, "wrong arguments\n");
        return 2;
    }
    bytes = (size_t)strtoull(words[1], NULL, 10) << 20;
    seed = strtoull(words[3], NULL, 10);
    for (int i = 0; i < 2; i++) {
        buffers[i] = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (buffers[i] == MAP_FAILED)
            die("mmap");
    }
    if (sscanf(words[4], "%u,%u", &node[0], &node[1]) == 2)
        for (int i = 0; i < 2; i++)
            bind_to(buffers[i], node[i]);
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 2; i++)
        for (uint64_t word = 0; word < bytes / 8; word++)
            buffers[i][word] = mix(seed + 2 * word + (uint64_t)i);
    getrusage(RUSAGE_SELF, &after);
    pthread_barrier_init(&start, NULL, 2);
    for (int i = 0; i < 2; i++) {
        work[i].seed = seed + (uint64_t)i;
        work[i].blocks = strtoull(words[2], NULL, 10);
        parse(words[5 + i], &work[i].cpus);
        if (pthread_create(&work[i].thread, NULL, reads, &work[i]))
            die("pthread_create");
    }
    for (int i = 0; i < 2; i++)
        pthread_join(work[i].thread, NULL);
    known = !pages(counts, &elsewhere);
    hypervisor(name);
    printf("{\"threads\": [");
    for (int i = 0; i < 2; i++) {
        printf("%s{", i ? ", " : "");
        number("faults", work[i].faults);
        number("voluntary_switches", work[i].voluntary);
        number("involuntary_switches", work[i].involuntary);
        number("migrations", work[i].migrations);
        nodes("looks", work[i].looks);
        printf("\"checksum\": \"%016" PRIx64 "\", \"ns\": %" PRIu64 "}",
               work[i].checksum, work[i].ns);
    }
    printf("], ");
    number("fill_faults", after.ru_minflt + after.ru_majflt
           - before.ru_minflt - before.ru_majflt);
    number("huge_kib", huge_kib());
    if (known)
        nodes("pages", counts);
    else
        printf("\"pages\": null, ");
    printf("\"elsewhere\": %" PRIu64 ", \"hypervisor\": \"%s\"}\n",
           elsewhere, name);
    return 0;
}
