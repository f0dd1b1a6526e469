/* What the programs of the live tests share: sockets on loopback, netns, and saying what was made. */

#ifndef NSAGENT_LIVE_H
#define NSAGENT_LIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static inline void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

static inline int must(int result, const char *what)
{
	if (result < 0)
		fail(what);
	return result;
}

/* One line to `fd` in one write, so that lines of several processes never mix. */
__attribute__((format(printf, 2, 3))) static inline void say(int fd, const char *format, ...)
{
	char line[256];
	va_list values;
	va_start(values, format);
	int length = vsnprintf(line, sizeof line, format, values);
	va_end(values);
	if (write(fd, line, length) != length)
		fail("write");
}

static inline long long now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static inline void sleep_until_ns(long long when)
{
	struct timespec until = {when / 1000000000LL, when % 1000000000LL};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static inline unsigned long inode_of(int fd)
{
	struct stat found;
	must(fstat(fd, &found), "fstat");
	return found.st_ino;
}

static inline int port_of(int fd)
{
	struct sockaddr_in local;
	socklen_t length = sizeof local;
	must(getsockname(fd, (struct sockaddr *)&local, &length), "getsockname");
	return ntohs(local.sin_port);
}

static inline struct sockaddr_in loopback(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static inline int bind_loopback(int type)
{
	struct sockaddr_in address = loopback(0);
	int fd = must(socket(AF_INET, type, 0), "socket");
	must(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
	return fd;
}

static inline int listen_loopback(void)
{
	int fd = bind_loopback(SOCK_STREAM);
	must(listen(fd, 4096), "listen");
	return fd;
}

static inline int connect_loopback(int port)
{
	struct sockaddr_in address = loopback(port);
	int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
	must(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
	return fd;
}

/* Move the calling thread to a netns of its own, its loopback up; returns its inode. */
static inline unsigned long enter_new_netns(void)
{
	must(unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)");
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
	must(ioctl(fd, SIOCSIFFLAGS, &request), "SIOCSIFFLAGS");
	close(fd);
	struct stat found;
	must(stat("/proc/thread-self/ns/net", &found), "ns/net");
	return found.st_ino;
}

/* Pass `passed` over the unix socket `channel`. */
static inline void send_fd(int channel, int passed)
{
	char byte = 'x', room[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &passed, sizeof passed);
	must(sendmsg(channel, &message, 0), "sendmsg");
}

/* The descriptor in the next message of `channel`, or -1 where it holds none. */
static inline int receive_fd(int channel)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	int received = -1;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	must(recvmsg(channel, &message, 0), "recvmsg");
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&received, CMSG_DATA(header), sizeof received);
	return received;
}

#endif
