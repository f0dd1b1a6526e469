/*
 * churn LOG CONNECTIONS_PER_SECOND FORKS_PER_SECOND: sockets that are held, and sockets that come and go.
 *
 * LOG gets a line when a process has opened a socket and one when it has closed it:
 * `+ PID COMM INODE BEFORE AFTER` and `- PID INODE BEFORE AFTER`, in ns of CLOCK_MONOTONIC around the
 * system call; and a line `! PID FD` when the server is told of a connection that it has closed: an epoll
 * set forgets a closed socket only when no other process has a descriptor of it. The keeper holds its sockets until the end. The client opens connections to the server
 * and closes each after CONNECTION_NS; the server closes its end then. The forker forks children that
 * hold what it holds and a connection of their own, for CHILD_NS. Every process has a comm of its own.
 * Says `ready` on stdout when all are at work, and ends when stdin closes.
 */

#include "live.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

enum { LISTENERS = 100, PAIRS = 50, DATAGRAM = 20, FORKER_LISTENERS = 5, MOST = 1 << 16, EVENTS = 64 };

#define CONNECTION_NS 50000000LL
#define CHILD_NS 60000000LL
#define BATCH_NS 4000000LL

static int log_fd;
static char comm[16];

static void take_name(const char *name, int number)
{
	snprintf(comm, sizeof comm, "%s-%d", name, number);
	must(prctl(PR_SET_NAME, comm), "PR_SET_NAME");
}

static int note_open(int fd, long long before)
{
	say(log_fd, "+ %d %s %lu %lld %lld\n", getpid(), comm, inode_of(fd), before, now_ns());
	return fd;
}

static void close_noted(int fd)
{
	unsigned long inode = inode_of(fd);
	long long before = now_ns();
	close(fd);
	say(log_fd, "- %d %lu %lld %lld\n", getpid(), inode, before, now_ns());
}

static int open_listener(void)
{
	long long before = now_ns();
	return note_open(listen_loopback(), before);
}

static int open_connection(int port)
{
	long long before = now_ns();
	return note_open(connect_loopback(port), before);
}

static int accept_noted(int listener)
{
	long long before = now_ns();
	int fd = accept(listener, NULL, NULL);
	return fd < 0 ? fd : note_open(fd, before);
}

/* Forks; the child dies with this process. */
static pid_t fork_child(void)
{
	pid_t pid = must(fork(), "fork");
	if (pid == 0)
		must(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
	return pid;
}

static void keep(int ready)
{
	take_name("keeper", 0);
	for (int index = 0; index < LISTENERS; index++)
		open_listener();
	for (int index = 0; index < DATAGRAM; index++) {
		long long before = now_ns();
		note_open(bind_loopback(SOCK_DGRAM), before);
	}
	int listener = open_listener();
	for (int index = 0; index < PAIRS; index++) {
		open_connection(port_of(listener));
		accept_noted(listener);
	}
	must(write(ready, "x", 1), "ready");
	for (;;)
		pause();
}

static void serve(int listener, int ready)
{
	static char is_open[MOST];
	struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
	take_name("server", 0);
	note_open(listener, now_ns());
	int poller = must(epoll_create1(0), "epoll_create1");
	must(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted), "epoll_ctl");
	must(write(ready, "x", 1), "ready");
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS, -1);
		for (int index = 0; index < count; index++) {
			int fd = events[index].data.fd;
			if (fd != listener && !is_open[fd % MOST])
				say(log_fd, "! %d %d\n", getpid(), fd);
			if (fd != listener && is_open[fd % MOST]) {
				is_open[fd % MOST] = 0;
				close_noted(fd);
			}
			if (fd != listener || (wanted.data.fd = accept_noted(listener)) < 0)
				continue;
			is_open[wanted.data.fd % MOST] = 1;
			must(epoll_ctl(poller, EPOLL_CTL_ADD, wanted.data.fd, &wanted), "epoll_ctl");
		}
	}
}

/* Opens connections at the rate; after a delay as many at once as are due. */
static void connect_steadily(int port, int per_second, int ready)
{
	static struct {
		int fd;
		long long end;
	} open[MOST];
	unsigned first = 0, last = 0;
	take_name("client", 0);
	must(write(ready, "x", 1), "ready");
	long long started = now_ns(), opened = 0;
	for (;;) {
		long long now = now_ns();
		for (; first != last && open[first % MOST].end < now; first++)
			close_noted(open[first % MOST].fd);
		for (; opened < (now - started) * per_second / 1000000000LL; opened++, last++) {
			open[last % MOST].fd = open_connection(port);
			open[last % MOST].end = now_ns() + CONNECTION_NS;
		}
		sleep_until_ns(now + BATCH_NS);
	}
}

static void live_briefly(int number, int port, const int *held, long long before)
{
	take_name("brief", number);
	for (int index = 0; index < FORKER_LISTENERS; index++)
		note_open(held[index], before);
	int own = open_connection(port);
	sleep_until_ns(now_ns() + CHILD_NS);
	close_noted(own);
	for (int index = 0; index < FORKER_LISTENERS; index++)
		close_noted(held[index]);
	_exit(0);
}

static void fork_steadily(int port, int per_second, int ready)
{
	int held[FORKER_LISTENERS];
	take_name("forker", 0);
	for (int index = 0; index < FORKER_LISTENERS; index++)
		held[index] = open_listener();
	must(write(ready, "x", 1), "ready");
	long long started = now_ns();
	for (int number = 0;; number++) {
		sleep_until_ns(started + number * 1000000000LL / per_second);
		long long before = now_ns();
		if (fork_child() == 0)
			live_briefly(number, port, held, before);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

int main(int argc, char **argv)
{
	int ready[2];
	if (argc != 4)
		return 2;
	log_fd = must(open(argv[1], O_CREAT | O_WRONLY | O_APPEND, 0600), argv[1]);
	must(pipe(ready), "pipe");
	int listener = listen_loopback(), port = port_of(listener);
	if (fork_child() == 0)
		serve(listener, ready[1]);
	close(listener);
	if (fork_child() == 0)
		keep(ready[1]);
	if (fork_child() == 0)
		connect_steadily(port, atoi(argv[2]), ready[1]);
	if (fork_child() == 0)
		fork_steadily(port, atoi(argv[3]), ready[1]);
	for (char byte, count = 0; count < 4; count++)
		must(read(ready[0], &byte, 1) - 1, "ready");
	say(1, "ready\n");
	for (char byte; read(0, &byte, 1) > 0;)
		; /* the children die with this process */
}
