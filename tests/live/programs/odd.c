/*
 * odd ODD CASE MOUNT_POINT: an odd process that holds a socket which is not where its holder is.
 *
 * What it made is said on stdout, a line each: `process ROLE PID`, `thread ROLE TID`,
 * `netns LETTER INODE`, `socket NAME INODE PORT REMOTE_PORT`, and last `ready`. All stay as they
 * are until they are killed.
 *
 * Roles: H the odd holder, S who sent it the socket, P its parent, C and E its children, R who lives
 * in the netns of the socket, K a client, V the child that a vfork waits for. Netns A is where the
 * socket was made, B where its holder is afterwards. Socket L is a listener, K a client's end.
 */

#include "live.h"

#include <pthread.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define ORDINARY_UID 65534
#define REPORT 1

static const char *odd, *place, *mount_point;
static int requests[2], replies[2]; /* pipes from and to the process that mounts and watches */
static int channel[2];              /* of S and H */
static pthread_barrier_t barrier;

struct request {
	char what; /* 'm': bind the netns of `task` at the mount point; 'r': all is made */
	pid_t task; /* whose netns; the odd holder */
};

static int is(const char *value, const char *name)
{
	return strcmp(value, name) == 0;
}

static void request(char what, pid_t task)
{
	struct request asked = {what, task};
	char reply;
	must(write(requests[1], &asked, sizeof asked), "request");
	if (what == 'm')
		must(read(replies[0], &reply, 1), "reply");
}

static void stay(void)
{
	for (;;)
		pause();
}

static void say_process(const char *role)
{
	say(REPORT, "process %s %d\n", role, getpid());
}

static void enter(const char *letter)
{
	say(REPORT, "netns %s %lu\n", letter, enter_new_netns());
}

static int make_listener(void)
{
	int fd = listen_loopback();
	say(REPORT, "socket L %lu %d 0\n", inode_of(fd), port_of(fd));
	return fd;
}

/* A child that holds what this process holds, in the same netns. */
static void fork_child(const char *role)
{
	pid_t pid = must(fork(), "fork");
	if (pid == 0)
		stay();
	say(REPORT, "process %s %d\n", role, pid);
}

static void fork_client(int listener)
{
	int done[2];
	must(pipe(done), "pipe");
	int port = port_of(listener);
	if (must(fork(), "fork") == 0) {
		close(listener);
		say_process("K");
		int fd = connect_loopback(port);
		say(REPORT, "socket K %lu %d %d\n", inode_of(fd), port_of(fd), port);
		must(write(done[1], "x", 1), "write");
		stay();
	}
	char byte;
	must(read(done[0], &byte, 1), "read");
}

static void hold_moved(void)
{
	enter("A");
	fork_child("R");
	make_listener();
	enter("B");
}

static void hold_passed(void)
{
	char byte;
	enter("B");
	close(channel[0]);
	receive_fd(channel[1]);
	while (read(channel[1], &byte, 1) > 0) /* S closes the channel after its own copy */
		;
	close(channel[1]);
}

static void hold_mount_only(void)
{
	enter("A");
	make_listener();
	request('m', gettid());
	enter("B");
}

static void hold_socket_only(void)
{
	enter("A");
	make_listener();
	enter("B");
}

/* The listener is in the queue of a unix socket of H; of R where H will have ended. */
static void hold_in_flight(void)
{
	int pair[2];
	enter("A");
	if (!is(odd, "zombie"))
		fork_child("R");
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
	if (is(odd, "zombie"))
		fork_child("R");
	int listener = make_listener();
	enter("B");
	send_fd(pair[0], listener);
	close(listener);
}

static void hold_inherited(void)
{
	enter("B");
}

static void hold_shared(void)
{
	enter("A");
	make_listener();
	fork_child("C");
	fork_child("E");
}

static void hold_unaccepted(void)
{
	enter("A");
	fork_client(make_listener());
	enter("B");
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"moved", hold_moved},
	{"passed", hold_passed},
	{"mount_only", hold_mount_only},
	{"socket_only", hold_socket_only},
	{"in_flight", hold_in_flight},
	{"inherited", hold_inherited},
	{"shared", hold_shared},
	{"unaccepted", hold_unaccepted},
};

static void hold(void)
{
	for (size_t index = 0; index < sizeof cases / sizeof *cases; index++)
		if (is(place, cases[index].name)) {
			cases[index].run();
			return;
		}
	errno = EINVAL;
	fail(place);
}

static int state_of(pid_t pid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	int fd = must(open(path, O_RDONLY), path);
	ssize_t length = must(read(fd, text, sizeof text - 1), path);
	close(fd);
	text[length] = 0;
	return strrchr(text, ')')[2];
}

static void await_state(pid_t pid, int state)
{
	while (state_of(pid) != state)
		usleep(1000);
}

static void drop_uid(int dumpable)
{
	must(setresgid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID), "setresgid");
	must(setresuid(ORDINARY_UID, ORDINARY_UID, ORDINARY_UID), "setresuid");
	must(prctl(PR_SET_DUMPABLE, dumpable), "PR_SET_DUMPABLE");
}

/* Ends in D state: the child holds nothing, and never ends. */
static void wait_for_vfork(void)
{
	if (must(vfork(), "vfork") == 0) {
		dup2(requests[1], 3);
		requests[1] = 3;
		close_range(4, ~0U, 0);
		say_process("V");
		request('r', getppid());
		stay();
	}
}

static void *keep_own_table(void *unused)
{
	must(unshare(CLONE_FILES), "unshare(CLONE_FILES)");
	say(REPORT, "thread T %d\n", gettid());
	pthread_barrier_wait(&barrier);
	stay();
	return unused;
}

/* Leave all sockets to a thread with an fd table of its own. */
static void leave_to_thread(void)
{
	pthread_t thread;
	pthread_barrier_init(&barrier, NULL, 2);
	must(-pthread_create(&thread, NULL, keep_own_table, NULL), "pthread_create");
	pthread_barrier_wait(&barrier);
	for (int fd = 3; fd < 64; fd++) {
		struct stat found;
		if (fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode))
			close(fd);
	}
}

static void finish(void)
{
	if (is(odd, "vfork_parent"))
		wait_for_vfork();
	if (is(odd, "non_dumpable"))
		drop_uid(0);
	if (is(odd, "unptraceable"))
		drop_uid(1);
	if (is(odd, "thread_fds"))
		leave_to_thread();
	request('r', getpid());
	if (is(odd, "zombie"))
		_exit(0);
	stay();
}

static void *live_in_thread(void *unused)
{
	if (is(odd, "dead_leader"))
		await_state(getpid(), 'Z');
	hold();
	request('r', getpid());
	stay();
	return unused;
}

static void be_odd(void)
{
	say_process("H");
	if (is(odd, "dead_leader") || is(odd, "thread_netns")) {
		pthread_t thread;
		must(-pthread_create(&thread, NULL, live_in_thread, NULL), "pthread_create");
		if (is(odd, "dead_leader"))
			pthread_exit(NULL);
		stay();
	}
	if (is(odd, "user_namespace"))
		must(unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)");
	hold();
	finish();
}

static void be_sender(void)
{
	say_process("S");
	enter("A");
	int listener = make_listener();
	send_fd(channel[0], listener);
	close(listener);
	close(channel[0]);
	close(channel[1]);
	stay();
}

static void be_parent(void)
{
	say_process("P");
	enter("A");
	make_listener();
	if (must(fork(), "fork") == 0)
		be_odd();
	stay();
}

/* Serves until all is made; the odd holder is then in the state that it should be in. */
static void serve_requests(void)
{
	struct request asked;
	char path[64];
	for (;;) {
		must(read(requests[0], &asked, sizeof asked), "read");
		if (asked.what == 'r')
			break;
		snprintf(path, sizeof path, "/proc/%d/ns/net", asked.task);
		close(must(open(mount_point, O_CREAT | O_WRONLY, 0600), mount_point));
		must(mount(path, mount_point, NULL, MS_BIND, NULL), "mount");
		must(write(replies[1], "x", 1), "write");
	}
	if (is(odd, "zombie"))
		await_state(asked.task, 'Z');
	if (is(odd, "vfork_parent"))
		await_state(asked.task, 'D');
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	odd = argv[1], place = argv[2], mount_point = argv[3];
	must(pipe(requests), "pipe");
	must(pipe(replies), "pipe");
	void (*start)(void) = be_odd;
	if (is(place, "passed")) {
		must(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), "socketpair");
		if (must(fork(), "fork") == 0)
			be_sender();
	}
	if (is(place, "inherited"))
		start = be_parent;
	if (must(fork(), "fork") == 0)
		start();
	if (is(place, "passed")) {
		close(channel[0]);
		close(channel[1]);
	}
	serve_requests();
	say(REPORT, "ready\n");
	stay();
}
