/*
 * handover WORKERS SOCKETS PER_SECOND: listeners that are passed around by SCM_RIGHTS, and always held.
 *
 * Worker N passes its sockets to worker N + 1, one after the other, and closes each only when the
 * receiver has acknowledged it: at any moment at least one of them has an fd on it. Says on
 * stdout `worker PID` and `socket INODE` of each, then `ready`; and at the end of stdin how often
 * sockets were passed on: `passed COUNT`.
 */

#include "live.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { MOST = 512 };

#define POLL_NS 1000000LL

static long long pause_ns; /* of a worker between two sockets */
static struct counts {
	atomic_long begun; /* workers that have named all their sockets */
	atomic_long passed;
} *counts;

/* A worker: `from` and `to` are its ends of the channels with its neighbours. */
static void work(int from, int to, int *held, int count)
{
	unsigned first = 0, last = count;
	int waiting = 0;
	char byte = 'a';
	struct pollfd polled[] = {{from, POLLIN, 0}, {to, POLLIN, 0}};
	for (;;) {
		if (!waiting && first != last) {
			send_fd(to, held[first % MOST]);
			waiting = 1;
		}
		must(poll(polled, 2, -1), "poll");
		if (polled[0].revents) {
			held[last++ % MOST] = must(receive_fd(from), "receive_fd");
			must(write(from, &byte, 1), "acknowledge");
		}
		if (polled[1].revents) {
			must(read(to, &byte, 1) - 1, "acknowledgement");
			close(held[first++ % MOST]);
			waiting = 0;
			atomic_fetch_add(&counts->passed, 1);
			sleep_until_ns(now_ns() + pause_ns);
		}
	}
}

static void start_worker(int (*channels)[2], int workers, int number, int *held, int count)
{
	if (must(fork(), "fork") != 0)
		return;
	must(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG");
	int to = channels[number][0], from = channels[(number + workers - 1) % workers][1];
	for (int index = 0; index < workers; index++)
		for (int end = 0; end < 2; end++)
			if (channels[index][end] != to && channels[index][end] != from)
				close(channels[index][end]);
	say(1, "worker %d\n", getpid());
	for (int index = 0; index < count; index++) {
		held[index] = listen_loopback();
		say(1, "socket %lu\n", inode_of(held[index]));
	}
	atomic_fetch_add(&counts->begun, 1);
	work(from, to, held, count);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	int workers = atoi(argv[1]), count = atoi(argv[2]) / workers;
	int channels[64][2];
	pause_ns = 1000000000LL * workers / atoi(argv[3]);
	static int held[MOST];
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int index = 0; index < workers; index++)
		must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channels[index]), "socketpair");
	for (int index = 0; index < workers; index++)
		start_worker(channels, workers, index, held, count);
	for (int index = 0; index < workers; index++) {
		close(channels[index][0]);
		close(channels[index][1]);
	}
	while (atomic_load(&counts->begun) < workers || atomic_load(&counts->passed) < workers)
		sleep_until_ns(now_ns() + POLL_NS);
	say(1, "ready\n");
	for (char byte; read(0, &byte, 1) > 0;)
		; /* the workers die with this process */
	say(1, "passed %ld\n", atomic_load(&counts->passed));
}
