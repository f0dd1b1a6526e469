/*
 * The least that the procfs way costs: what `nsagent scan` is measured against.
 *
 * Reads the link of every fd of every process, finds every netns (ns/net of the processes, nsfs
 * mounts), skips those whose sockstat counts no socket, enters the others and dumps TCP of both
 * families in one walk (TCPDIAG_GETSOCK, net/ipv4/inet_diag.c) and UDP in one more
 * (INET_DIAG_REQ_PROTOCOL, Linux 5.9). Joins by inode and prints counts only: no row is kept,
 * decoded or written.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALL_STATES = 0x1fff, BUFFER_BYTES = 65536 };

/* A hash from inode (never 0) to a count, with open addressing. */
struct counts {
    struct slot { uint64_t inode; uint32_t count; } *slots;
    size_t capacity, used;
};

struct totals {
    unsigned long processes, fds, socket_fds, netns, netns_read, rows, matched;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct slot *find(const struct counts *counts, uint64_t inode)
{
    size_t i = (inode * 0x9e3779b97f4a7c15u) >> 20 & (counts->capacity - 1);

    while (counts->slots[i].inode != 0 && counts->slots[i].inode != inode)
        i = (i + 1) & (counts->capacity - 1);
    return &counts->slots[i];
}

static void resize(struct counts *counts, size_t capacity)
{
    struct counts old = *counts;

    counts->capacity = capacity;
    counts->slots = calloc(capacity, sizeof *counts->slots);
    if (!counts->slots)
        die("calloc");
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].inode != 0)
            *find(counts, old.slots[i].inode) = old.slots[i];
    free(old.slots);
}

/* How often `inode` has been added, this time included. */
static uint32_t add(struct counts *counts, uint64_t inode)
{
    struct slot *slot;

    if (counts->used * 2 >= counts->capacity)
        resize(counts, counts->capacity * 2);
    slot = find(counts, inode);
    if (slot->inode == 0) {
        slot->inode = inode;
        counts->used++;
    }
    return ++slot->count;
}

/* The N of a link "prefix[N]", 0 if the link is gone or something else. */
static uint64_t link_inode(int directory, const char *name, const char *prefix)
{
    char text[64];
    size_t length = strlen(prefix);
    ssize_t got = readlinkat(directory, name, text, sizeof text - 1);

    if (got <= (ssize_t)length || strncmp(text, prefix, length) != 0)
        return 0;
    text[got] = '\0';
    return strtoull(text + length, NULL, 10);
}

static void read_fds(int process, struct counts *holders, struct totals *totals)
{
    int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!directory)
        return;
    while ((entry = readdir(directory)) != NULL) {
        uint64_t inode;

        if (entry->d_name[0] == '.')
            continue;
        totals->fds++;
        inode = link_inode(fd, entry->d_name, "socket:[");
        if (inode != 0) {
            totals->socket_fds++;
            add(holders, inode);
        }
    }
    closedir(directory);
}

/* The number after `key`, in the line of a sockstat file that starts with `line`; 0 if there is none. */
static long sockstat_number(const char *text, const char *line, const char *key)
{
    const char *at = strncmp(text, line, strlen(line)) == 0 ? text : NULL;
    char needle[32];
    const char *end, *found;

    snprintf(needle, sizeof needle, "\n%s", line);
    if (!at && !(at = strstr(text, needle)))
        return 0;
    end = strchr(at + 1, '\n');
    found = strstr(at, key);
    return found && (!end || found < end) ? strtol(found + strlen(key), NULL, 10) : 0;
}

static void append_file(int directory, const char *name, char *text, size_t size)
{
    size_t used = strlen(text);
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text + used, size - used - 1);

    text[used + (got > 0 ? got : 0)] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The rows of one dump; `protocol` 0 asks for TCP. */
static void dump(int netlink, uint32_t protocol, const struct counts *holders, struct totals *totals)
{
    static char buffer[BUFFER_BYTES];
    struct {
        struct nlmsghdr header;
        struct inet_diag_req request;
        struct nlattr attribute;
        uint32_t protocol;
    } message = {
        .header = {.nlmsg_type = TCPDIAG_GETSOCK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.idiag_family = AF_INET, .idiag_states = ALL_STATES},
        .attribute = {.nla_len = NLA_HDRLEN + sizeof(uint32_t), .nla_type = INET_DIAG_REQ_PROTOCOL},
        .protocol = protocol,
    };

    message.header.nlmsg_len = protocol ? sizeof message : NLMSG_LENGTH(sizeof message.request);
    if (send(netlink, &message, message.header.nlmsg_len, 0) < 0)
        die("send");
    for (;;) {
        ssize_t got = recv(netlink, buffer, sizeof buffer, 0);
        unsigned int left = got;

        if (got < 0)
            die("recv");
        for (struct nlmsghdr *row = (void *)buffer; NLMSG_OK(row, left); row = NLMSG_NEXT(row, left)) {
            uint32_t inode;

            if (row->nlmsg_type == NLMSG_DONE)
                return;
            if (row->nlmsg_type == NLMSG_ERROR)
                die("dump");
            inode = ((struct inet_diag_msg *)NLMSG_DATA(row))->idiag_inode;
            totals->rows++;
            if (inode != 0)
                totals->matched += find(holders, inode)->count;
        }
    }
}

/* Whether the netns whose sockstat and sockstat6 are `text` has rows of TCP; `tw` counts both families. */
static int has_tcp(const char *text)
{
    return sockstat_number(text, "TCP:", "inuse ") + sockstat_number(text, "TCP6:", "inuse ") +
           sockstat_number(text, "TCP:", "tw ") > 0;
}

static int has_udp(const char *text)
{
    return sockstat_number(text, "UDP:", "inuse ") + sockstat_number(text, "UDP6:", "inuse ") > 0;
}

/* The tables of the netns that the thread is in. */
static void read_tables(const char *text, const struct counts *holders, struct totals *totals)
{
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

    if (netlink < 0)
        die("socket");
    totals->netns_read++;
    if (has_tcp(text))
        dump(netlink, 0, holders, totals);
    if (has_udp(text))
        dump(netlink, IPPROTO_UDP, holders, totals);
    close(netlink);
}

static void enter(int directory, const char *path)
{
    int netns = openat(directory, path, O_RDONLY | O_CLOEXEC);

    if (netns < 0 || setns(netns, CLONE_NEWNET) < 0)
        die(path);
    close(netns);
}

/* Its sockstat can be read from outside: a netns without sockets need not be entered. */
static void read_netns_of(int pid, const struct counts *holders, struct totals *totals)
{
    char text[2048] = "", name[16];
    int process;

    snprintf(name, sizeof name, "%d", pid);
    process = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process < 0)
        die(name);
    append_file(process, "net/sockstat", text, sizeof text);
    append_file(process, "net/sockstat6", text, sizeof text);
    if (has_tcp(text) || has_udp(text)) {
        enter(process, "ns/net");
        read_tables(text, holders, totals);
    }
    close(process);
}

/* The netns that no process is in, from the nsfs lines of mountinfo (field 5 is the mount point). */
static void read_mounted_netns(struct counts *seen, const struct counts *holders, struct totals *totals)
{
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[4096], path[4096];
    struct stat status;

    while (mounts && fgets(line, sizeof line, mounts)) {
        char text[2048] = "";

        if (!strstr(line, " - nsfs ") || sscanf(line, "%*s %*s %*s net:%*s %4095s", path) != 1)
            continue;
        if (stat(path, &status) < 0 || add(seen, status.st_ino) > 1)
            continue;
        totals->netns++;
        enter(AT_FDCWD, path);
        append_file(AT_FDCWD, "/proc/thread-self/net/sockstat", text, sizeof text);
        append_file(AT_FDCWD, "/proc/thread-self/net/sockstat6", text, sizeof text);
        if (has_tcp(text) || has_udp(text))
            read_tables(text, holders, totals);
    }
    if (mounts)
        fclose(mounts);
}

/* Reads every process; returns one pid of each netns, totals->netns of them. */
static int *read_processes(struct counts *seen, struct counts *holders, struct totals *totals)
{
    DIR *proc = opendir(".");
    struct dirent *entry;
    int *pids = NULL;

    if (!proc)
        die("/proc");
    while ((entry = readdir(proc)) != NULL) {
        uint64_t netns;
        int process;

        if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
            continue;
        process = open(entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (process < 0)
            continue;
        totals->processes++;
        netns = link_inode(process, "ns/net", "net:[");
        if (netns != 0 && add(seen, netns) == 1) {
            pids = realloc(pids, (totals->netns + 1) * sizeof *pids);
            if (!pids)
                die("realloc");
            pids[totals->netns++] = atoi(entry->d_name);
        }
        read_fds(process, holders, totals);
        close(process);
    }
    closedir(proc);
    return pids;
}

int main(void)
{
    struct counts holders = {0}, seen = {0};
    struct totals totals = {0};
    int *pids;

    resize(&holders, 1 << 16);
    resize(&seen, 1 << 10);
    if (chdir("/proc") < 0)
        die("/proc");
    pids = read_processes(&seen, &holders, &totals);
    for (size_t i = 0, count = totals.netns; i < count; i++)
        read_netns_of(pids[i], &holders, &totals);
    read_mounted_netns(&seen, &holders, &totals);
    printf("processes=%lu fds=%lu socket_fds=%lu netns=%lu netns_read=%lu rows=%lu matched=%lu\n", totals.processes,
           totals.fds, totals.socket_fds, totals.netns, totals.netns_read, totals.rows, totals.matched);
    return 0;
}
