/*
 * The sockets of one process, and the truth about them as lines of text: included by holder.c only.
 *
 * Of ten sockets 6 are ends of TCP connections over loopback (IPv4, IPv6 and IPv4 to an IPv6
 * listener), one is a listener (there are two at least), the others UDP, bound and connected.
 *
 * A line is: netns inode protocol family mapped state address port address port pid fd
 * A row that no descriptor can hold has inode 0, fd -1 and the pid of the process that made it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READY_FD = 3, TIME_WAIT_SERVER_PORT = 2000, TIME_WAIT_CLIENT_PORT = 2001 };

static int *held;      /* the sockets of this process, inherited ones included */
static int held_count;
static int *listeners; /* those of held that listen */
static int listener_count;

static void fail(const char *what)
{
    fprintf(stderr, "holder: %s: %s\n", what, strerror(errno));
    if (write(READY_FD, "e", 1) != 1)
        _exit(2);
    _exit(1);
}

static int must(int result, const char *what)
{
    if (result < 0)
        fail(what);
    return result;
}

static struct sockaddr_storage address_of(int family, const char *text, int port)
{
    struct sockaddr_storage storage = {.ss_family = family};

    if (family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
        v4->sin_port = htons(port);
        inet_pton(AF_INET, text, &v4->sin_addr);
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
        v6->sin6_port = htons(port);
        inet_pton(AF_INET6, text, &v6->sin6_addr);
    }
    return storage;
}

static int port_of(int fd)
{
    struct sockaddr_storage local;
    socklen_t length = sizeof local;

    must(getsockname(fd, (struct sockaddr *)&local, &length), "getsockname");
    return ntohs(((struct sockaddr_in *)&local)->sin_port); /* sin6_port lies at the same offset */
}

static int bound_socket(int family, int type, const char *text, int port, int v6only)
{
    struct sockaddr_storage local = address_of(family, text, port);
    int on = 1, fd = must(socket(family, type, 0), "socket");

    if (family == AF_INET6)
        must(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only), "IPV6_V6ONLY");
    if (port != 0)
        must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
    must(bind(fd, (struct sockaddr *)&local, sizeof local), "bind");
    return fd;
}

static const char *loopback(int family)
{
    return family == AF_INET ? "127.0.0.1" : "::1";
}

static int connected_socket(int family, int type, int port)
{
    struct sockaddr_storage remote = address_of(family, loopback(family), port);
    int fd = must(socket(family, type, 0), "socket");

    must(connect(fd, (struct sockaddr *)&remote, sizeof remote), "connect");
    return fd;
}

static int hold(int fd)
{
    held[held_count++] = fd;
    return fd;
}

/* Listeners are, in turn, IPv4 on loopback, dual-stack, IPv4 on any address, IPv6 on loopback. */
static void make_listener(void)
{
    static const struct { int family; const char *address; int v6only; } kinds[] = {
        {AF_INET, "127.0.0.1", 0}, {AF_INET6, "::", 0}, {AF_INET, "0.0.0.0", 0}, {AF_INET6, "::1", 1},
    };
    int kind = listener_count % 4;
    int fd = bound_socket(kinds[kind].family, SOCK_STREAM, kinds[kind].address, 0, kinds[kind].v6only);

    must(listen(fd, 64), "listen");
    listeners[listener_count++] = hold(fd);
}

/* Both ends of a connection. `kind` modulo 3: IPv4, IPv6, IPv4 to the dual-stack listener. */
static void make_pair(int kind)
{
    int listener = listeners[kind % 3 == 0 ? 0 : 1];
    int client = connected_socket(kind % 3 == 1 ? AF_INET6 : AF_INET, SOCK_STREAM, port_of(listener));

    hold(client);
    hold(must(accept(listener, NULL, NULL), "accept"));
}

/* `kind` modulo 4: bound IPv4, connected IPv4, bound IPv6, connected IPv6. */
static void make_udp(int kind)
{
    int family = kind % 4 < 2 ? AF_INET : AF_INET6;

    if (kind % 2 == 0)
        hold(bound_socket(family, SOCK_DGRAM, loopback(family), 0, 1));
    else
        hold(connected_socket(family, SOCK_DGRAM, 9)); /* discard: nothing is ever sent */
}

static void make_plain(int count)
{
    for (int i = 0; i < count; i++)
        switch (i % 3) {
        case 0: must(open("/dev/null", O_RDONLY), "/dev/null"); break;
        case 1: must(eventfd(0, 0), "eventfd"); break;
        default: must(open("/proc/sys/kernel/ostype", O_RDONLY), "ostype");
        }
}

/* A connection that its client closes first. Its tuple is always the same, so that making it
 * again renews the row; EADDRNOTAVAIL says that the row is less than a second old. */
static void make_time_wait(int index)
{
    int family = index % 2 == 0 ? AF_INET : AF_INET6;
    struct sockaddr_storage remote = address_of(family, loopback(family), TIME_WAIT_SERVER_PORT);
    int listener = bound_socket(family, SOCK_STREAM, loopback(family), TIME_WAIT_SERVER_PORT, 1);
    int client = bound_socket(family, SOCK_STREAM, loopback(family), TIME_WAIT_CLIENT_PORT + index, 1);

    must(listen(listener, 1), "listen");
    if (connect(client, (struct sockaddr *)&remote, sizeof remote) == 0) {
        int server = must(accept(listener, NULL, NULL), "accept");
        char byte;

        close(client);
        must((int)read(server, &byte, 1), "read");
        close(server);
    } else {
        if (errno != EADDRNOTAVAIL)
            fail("connect for TIME_WAIT");
        close(client);
    }
    close(listener);
}

static unsigned long own_netns(void)
{
    struct stat status;

    must(stat("/proc/self/ns/net", &status), "ns/net");
    return status.st_ino;
}

/* "address port" of a socket's end; an IPv4 address inside an IPv6 one is shown as IPv4. */
static void write_endpoint(FILE *out, const struct sockaddr_storage *end)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)end;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)end;
    char text[INET6_ADDRSTRLEN];

    if (end->ss_family == AF_INET)
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof text);
    else
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    fprintf(out, " %s %d", text, ntohs(v4->sin_port));
}

static void write_socket(FILE *out, unsigned long netns, int fd)
{
    struct sockaddr_storage local, remote;
    socklen_t local_length = sizeof local, remote_length = sizeof remote, length = sizeof(int);
    struct stat status;
    int protocol, listening = 0, connected, mapped;

    must(fstat(fd, &status), "fstat");
    must(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length), "SO_PROTOCOL");
    must(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length), "SO_ACCEPTCONN");
    must(getsockname(fd, (struct sockaddr *)&local, &local_length), "getsockname");
    connected = getpeername(fd, (struct sockaddr *)&remote, &remote_length) == 0;
    if (!connected)
        remote = address_of(local.ss_family, local.ss_family == AF_INET ? "0.0.0.0" : "::", 0);
    mapped = local.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&((struct sockaddr_in6 *)&local)->sin6_addr);
    fprintf(out, "%lu %lu %s %s %d %s", netns, (unsigned long)status.st_ino, protocol == IPPROTO_TCP ? "tcp" : "udp",
            local.ss_family == AF_INET || mapped ? "ipv4" : "ipv6", mapped,
            listening ? "listen" : connected ? "established" : "close");
    write_endpoint(out, &local);
    write_endpoint(out, &remote);
    fprintf(out, " %d %d\n", getpid(), fd);
}

static void write_unheld(FILE *out, unsigned long netns, int family, const char *state, int local, int remote)
{
    fprintf(out, "%lu 0 tcp %s 0 %s %s %d %s %d %d -1\n", netns, family == AF_INET ? "ipv4" : "ipv6", state,
            loopback(family), local, loopback(family), remote, getpid());
}

/* The sockets from held[first] on, in one write: lines of several processes must not mix. The `waiting` clients
 * are the last of held. */
static void write_truth(const char *path, int first, int waiting, int time_wait)
{
    unsigned long netns = own_netns();
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int fd;

    for (int i = first; i < held_count; i++)
        write_socket(out, netns, held[i]);
    for (int i = 0; i < waiting; i++)
        write_unheld(out, netns, AF_INET, "established", port_of(listeners[0]), port_of(held[held_count - 1 - i]));
    for (int i = 0; i < time_wait; i++)
        write_unheld(out, netns, i % 2 == 0 ? AF_INET : AF_INET6, "time_wait", TIME_WAIT_CLIENT_PORT + i,
                     TIME_WAIT_SERVER_PORT);
    fclose(out);
    fd = must(open(path, O_WRONLY | O_APPEND | O_CLOEXEC), path);
    if (write(fd, text, size) != (ssize_t)size)
        fail("write of the truth");
    close(fd);
    free(text);
}

/* Opens what is missing to `count` sockets after the first `before` of held; `made_pairs` exist already. */
static void make_sockets(int count, int before, int made_pairs, int variant, int waiting)
{
    int target = before + count, pairs = count * 3 / 10;
    int wanted_listeners = count / 10 > 2 ? count / 10 : 2;

    while (listener_count < wanted_listeners)
        make_listener();
    for (int i = made_pairs; i < pairs; i++)
        make_pair(variant + i);
    for (int i = 0; held_count < target - waiting; i++)
        make_udp(variant + i);
    for (int i = 0; i < waiting; i++)
        hold(connected_socket(AF_INET, SOCK_STREAM, port_of(listeners[0])));
}
