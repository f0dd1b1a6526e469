/*
 * storm LOG FORKS_PER_SECOND: short-lived processes under few PIDs, each with a listener of its own.
 * They live in a netns of their own. Before them in the order of PIDs, and elsewhere, a process holds
 * BALLAST fds that are no sockets: who reads it reads for longer than a PID of the storm stays the same.
 *
 * LOG gets a line of each process that has opened its listener: `+ PID COMM START_TICKS INODE PORT TIME`,
 * TIME in ns of CLOCK_MONOTONIC. The process lives SHORT_LIFE_NS longer, every tenth LONG_LIFE_NS, so
 * that some outlast the reading of the ballast. No comm is used twice. Says `ready` on stdout when all
 * is at work, and ends when stdin closes.
 */

#include "live.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { BALLAST = 15000, MOST_ALIVE = 9 }; /* half of the PIDs are for others */

#define SHORT_LIFE_NS 20000000LL
#define LONG_LIFE_NS 300000000LL

static int log_fd;

/* Field 22 of the stat file of this process. */
static unsigned long long start_ticks(void)
{
	char text[1024];
	int fd = must(open("/proc/self/stat", O_RDONLY), "stat");
	ssize_t length = must(read(fd, text, sizeof text - 1), "stat");
	close(fd);
	text[length] = 0;
	char *at = strrchr(text, ')');
	for (int field = 2; field < 22; field++)
		at = strchr(at + 1, ' ');
	return strtoull(at + 1, NULL, 10);
}

static void hold_ballast(void)
{
	struct rlimit limit;
	must(getrlimit(RLIMIT_NOFILE, &limit), "RLIMIT_NOFILE");
	limit.rlim_cur = limit.rlim_max;
	must(setrlimit(RLIMIT_NOFILE, &limit), "RLIMIT_NOFILE");
	for (int index = 0; index < BALLAST && open("/dev/null", O_RDONLY) >= 0; index++)
		;
}

static void live_briefly(const char *comm, long long life)
{
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
	unsigned long long ticks = start_ticks();
	int fd = listen_loopback();
	say(log_fd, "+ %d %s %llu %lu %d %lld\n", getpid(), comm, ticks, inode_of(fd), port_of(fd), now_ns());
	sleep_until_ns(now_ns() + life);
	_exit(0);
}

static void fork_steadily(int per_second)
{
	long long interval = 1000000000LL / per_second, next = now_ns();
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
	enter_new_netns();
	for (int number = 0, alive = 0;; number++) {
		char comm[16];
		snprintf(comm, sizeof comm, "s%d", number);
		must(prctl(PR_SET_NAME, comm), "PR_SET_NAME"); /* so that the child is born with it */
		if (must(fork(), "fork") == 0)
			live_briefly(comm, number % 10 ? SHORT_LIFE_NS : LONG_LIFE_NS);
		alive++;
		while (waitpid(-1, NULL, alive < MOST_ALIVE ? WNOHANG : 0) > 0)
			alive--;
		next += interval;
		sleep_until_ns(next);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	log_fd = must(open(argv[1], O_CREAT | O_WRONLY | O_APPEND, 0600), argv[1]);
	if (must(fork(), "fork") == 0)
		fork_steadily(atoi(argv[2]));
	hold_ballast();
	say(1, "ready\n");
	for (char byte; read(0, &byte, 1) > 0;)
		; /* the storm dies with this process */
}
