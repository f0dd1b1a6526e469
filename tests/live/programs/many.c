/*
 * many COUNT: that many processes, each alone in a netns of its own with one listener.
 *
 * Says `netns INODE SOCKET_INODE PID` of each on stdout, then `ready`; they stay until they are killed.
 */

#include "live.h"

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	for (int index = atoi(argv[1]); index > 0; index--) {
		unsigned long netns = enter_new_netns();
		int listener = listen_loopback();
		pid_t pid = must(fork(), "fork");
		if (pid == 0)
			for (;;)
				pause();
		say(1, "netns %lu %lu %d\n", netns, inode_of(listener), pid);
		close(listener);
	}
	say(1, "ready\n");
	for (;;)
		pause();
}
