/*
 * A synthetic host: netns, processes that hold sockets in them, and the truth about every socket.
 *
 *   holder NETNS PROCESSES PLAIN SOCKETS WAITING TIME_WAIT EMPTY MOVERS MOUNTS TRUTH
 *
 * Makes NETNS netns with PROCESSES processes each; a process opens SOCKETS sockets and holds PLAIN
 * other descriptors beside 0, 1, 2 and its end of the ready pipe. The first process of a netns forks
 * the second while it holds SHARED sockets: both hold those. WAITING connections that nobody accepts
 * and TIME_WAIT rows are spread evenly over the netns. EMPTY netns hold no process and no socket;
 * they are nsfs mounts in the directory MOUNTS, as `ip netns add` makes them.
 *
 * With MOVERS, that many processes hold everything instead: each enters one netns after the other,
 * all of which are mounts in MOUNTS, opens SOCKETS sockets there and takes them along. Together they
 * do so NETNS x PROCESSES times, in turns, so that each netns has sockets of PROCESSES movers.
 *
 * TRUTH gets the lines that sockets.h describes. SIGUSR1 has a process make its TIME_WAIT rows anew,
 * for the kernel keeps them 60 s (TCP_TIMEWAIT_LEN, include/net/tcp.h).
 *
 * Each process writes one byte to stdout when all it was asked for exists: 'k', or 'e' when
 * something failed, which stderr tells. All of them then wait, and die with their parent.
 */
#define _GNU_SOURCE
#include "sockets.h"

#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { SHARED = 3 };

struct plan {
    int netns, processes, plain, sockets, waiting, time_wait, empty, movers;
    const char *mounts, *truth;
};

static pid_t fork_child(void)
{
    pid_t parent = getpid(), pid = must(fork(), "fork");

    if (pid == 0) {
        must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
        if (getppid() != parent)
            _exit(1);
    }
    return pid;
}

static void report_ready(void)
{
    if (write(READY_FD, "k", 1) != 1)
        _exit(1);
}

/* The share of one of `parts` when `total` things are spread evenly over all of them. */
static int share(int total, int part, int parts)
{
    return (int)((long)total * (part + 1) / parts - (long)total * part / parts);
}

static _Noreturn void wait_for_renewals(int time_wait)
{
    sigset_t renew;
    int signal;

    sigemptyset(&renew);
    sigaddset(&renew, SIGUSR1);
    for (;;) {
        sigwait(&renew, &signal);
        for (int i = 0; i < time_wait; i++)
            make_time_wait(i);
        report_ready();
    }
}

static void bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");

    request.ifr_flags = IFF_UP;
    must(ioctl(fd, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
    close(fd);
}

static _Noreturn void run_process(const struct plan *plan, int process, int inherited, int waiting, int time_wait)
{
    make_sockets(plan->sockets, inherited, process == 0, process, waiting);
    make_plain(plan->plain - inherited);
    for (int i = 0; i < time_wait; i++)
        make_time_wait(i);
    write_truth(plan->truth, 0, waiting, time_wait);
    report_ready();
    wait_for_renewals(time_wait);
}

/* The first process makes SHARED sockets, forks the second, and only then makes its other ones. */
static _Noreturn void run_netns(const struct plan *plan, int index)
{
    must(unshare(CLONE_NEWNET), "unshare");
    bring_loopback_up();
    held = calloc(plan->sockets + SHARED, sizeof *held);
    listeners = calloc(plan->sockets + SHARED, sizeof *listeners);
    for (int process = 2; process < plan->processes; process++)
        if (fork_child() == 0)
            run_process(plan, process, 0, 0, 0);
    make_listener();
    make_pair(0);
    if (plan->processes > 1 && fork_child() == 0) {
        listener_count = 0;
        run_process(plan, 1, SHARED, 0, 0);
    }
    run_process(plan, 0, 0, share(plan->waiting, index, plan->netns), share(plan->time_wait, index, plan->netns));
}

/* Moves to a new netns that has a mount in the directory plan->mounts. */
static void make_mounted_netns(const struct plan *plan, const char *kind, int index)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s-%d", plan->mounts, kind, index);
    close(must(open(path, O_RDONLY | O_CREAT | O_EXCL, 0444), path));
    must(unshare(CLONE_NEWNET), "unshare");
    must(mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL), path);
}

static void enter_mounted_netns(const struct plan *plan, const char *kind, int index)
{
    char path[4096];
    int netns;

    snprintf(path, sizeof path, "%s/%s-%d", plan->mounts, kind, index);
    netns = must(open(path, O_RDONLY | O_CLOEXEC), path);
    must(setns(netns, CLONE_NEWNET), path);
    close(netns);
}

static _Noreturn void run_mover(const struct plan *plan, int mover)
{
    int visits = plan->netns * plan->processes;

    held = calloc((size_t)plan->sockets * (visits / plan->movers + 1), sizeof *held);
    listeners = calloc(plan->sockets, sizeof *listeners);
    for (int visit = mover; visit < visits; visit += plan->movers) {
        int first = held_count;

        enter_mounted_netns(plan, "moved", visit / plan->processes);
        listener_count = 0;
        make_sockets(plan->sockets, first, 0, visit, 0);
        write_truth(plan->truth, first, 0, 0);
    }
    report_ready();
    wait_for_renewals(0);
}

static void prepare(void)
{
    struct rlimit files;
    sigset_t renew;
    int null = must(open("/dev/null", O_RDWR), "/dev/null");

    must(dup2(null, STDIN_FILENO), "dup2"); /* first: null may be READY_FD */
    must(dup2(STDOUT_FILENO, READY_FD), "dup2");
    must(dup2(STDIN_FILENO, STDOUT_FILENO), "dup2");
    if (null > READY_FD)
        close(null);
    must(getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
    files.rlim_cur = files.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    sigemptyset(&renew);
    sigaddset(&renew, SIGUSR1);
    sigprocmask(SIG_BLOCK, &renew, NULL);
}

int main(int argc, char **argv)
{
    struct plan plan;

    if (argc != 11) {
        fprintf(stderr, "usage: holder NETNS PROCESSES PLAIN SOCKETS WAITING TIME_WAIT EMPTY MOVERS MOUNTS TRUTH\n");
        return 2;
    }
    plan = (struct plan){atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), atoi(argv[5]),
                         atoi(argv[6]), atoi(argv[7]), atoi(argv[8]), argv[9],       argv[10]};
    prepare();
    for (int i = 0; plan.movers && i < plan.netns; i++) {
        make_mounted_netns(&plan, "moved", i);
        bring_loopback_up();
    }
    for (int i = 0; i < (plan.movers ? plan.movers : plan.netns); i++)
        if (fork_child() == 0) {
            if (plan.movers)
                run_mover(&plan, i);
            run_netns(&plan, i);
        }
    for (int i = 0; i < plan.empty; i++)
        make_mounted_netns(&plan, "empty", i);
    report_ready();
    for (;;)
        pause();
}
