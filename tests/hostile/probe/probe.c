/* What a hostile process tries, one attempt a command. It prints one line, which begins with "refused" and ends with the
 * error's number when the attempt was refused. Linked statically: it runs in any image. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int answer(const char *what, long result)
{
	if (result < 0) {
		printf("refused: %s: errno %d\n", what, errno);
		return 0;
	}
	printf("%s: ok\n", what);
	return 0;
}

/* The root of the file system that a bind of one of its files lies on, by its inode number. */
static int open_by_handle(const char *path)
{
	struct {
		struct file_handle head;
		unsigned char bytes[128];
	} handle = { .head.handle_bytes = 128 };
	int id, at = open(path, O_RDONLY);
	if (at < 0 || name_to_handle_at(at, "", &handle.head, &id, AT_EMPTY_PATH) < 0)
		return answer("name_to_handle_at", -1);
	return answer("open_by_handle_at", open_by_handle_at(at, &handle.head, O_RDONLY));
}

static int nested(const char *where, long depth)
{
	if (chdir(where) < 0)
		return answer("chdir", -1);
	for (long level = 0; level < depth; level++)
		if (mkdir("d", 0755) < 0 || chdir("d") < 0)
			return answer("mkdir", -1);
	return answer("nested", 0);
}

static int wide(const char *where, long count)
{
	char name[256];
	if (chdir(where) < 0)
		return answer("chdir", -1);
	for (long number = 0; number < count; number++) {
		/* Not UTF-8, and as long as names get. */
		memset(name, 0xff, 200);
		snprintf(name + 200, sizeof name - 200, "%ld", number);
		int file = open(name, O_CREAT | O_WRONLY, 0);
		if (file < 0)
			return answer("open", -1);
		close(file);
	}
	return answer("wide", 0);
}

/* A UDP packet of IPv6 with any source, any hop limit, and a kilobyte of payload for an answer to quote. */
static int spoof6(const char *source, const char *destination, long hops)
{
	unsigned char packet[1100] = { 0 };
	struct ip6_hdr *head = (void *)packet;
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	int raw = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
	if (raw < 0)
		return answer("socket", -1);
	head->ip6_flow = htonl(6u << 28);
	head->ip6_plen = htons(sizeof packet - sizeof *head);
	head->ip6_nxt = IPPROTO_UDP;
	head->ip6_hlim = hops;
	inet_pton(AF_INET6, source, &head->ip6_src);
	inet_pton(AF_INET6, destination, &head->ip6_dst);
	packet[41] = 9, packet[43] = 9, packet[44] = (sizeof packet - 40) >> 8, packet[45] = (sizeof packet - 40) & 255;
	to.sin6_addr = head->ip6_dst;
	return answer("sendto", sendto(raw, packet, sizeof packet, 0, (void *)&to, sizeof to));
}

/* Waits for an ICMPv6 error that quotes a packet; one that comes is printed. */
static int listen6(long seconds)
{
	unsigned char packet[2048];
	int raw = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	if (raw < 0)
		return answer("socket", -1);
	puts("listening");
	fflush(stdout);
	time_t end = time(NULL) + seconds;
	while (time(NULL) < end) {
		struct pollfd wait = { .fd = raw, .events = POLLIN };
		if (poll(&wait, 1, 200) <= 0)
			continue;
		ssize_t length = recv(raw, packet, sizeof packet, 0);
		if (length > 0 && packet[0] < 128) {
			printf("quoted %zd bytes, type %d\n", length, packet[0]);
			return 0;
		}
	}
	errno = ETIMEDOUT;
	return answer("nothing", -1);
}

/* A UDP packet with a small TTL to an address: whether an ICMP error says where it ended. */
static int probe_ttl(const char *destination, long ttl)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int on = 1, hops = ttl, udp = socket(AF_INET, SOCK_DGRAM, 0);
	char control[512], data[64];
	struct iovec vector = { data, sizeof data };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	inet_pton(AF_INET, destination, &to.sin_addr);
	setsockopt(udp, IPPROTO_IP, IP_TTL, &hops, sizeof hops);
	setsockopt(udp, IPPROTO_IP, IP_RECVERR, &on, sizeof on);
	if (sendto(udp, "x", 1, 0, (void *)&to, sizeof to) < 0)
		return answer("sendto", -1);
	struct pollfd wait = { .fd = udp, .events = 0 };
	if (poll(&wait, 1, 1500) > 0 && recvmsg(udp, &message, MSG_ERRQUEUE) >= 0) {
		puts("told");
		return 0;
	}
	errno = ETIMEDOUT;
	return answer("silent", -1);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	const char *a = argc > 2 ? argv[2] : "", *b = argc > 3 ? argv[3] : "", *c = argc > 4 ? argv[4] : "";
	if (!strcmp(what, "open-by-handle"))
		return open_by_handle(a);
	if (!strcmp(what, "nested"))
		return nested(a, atol(b));
	if (!strcmp(what, "wide"))
		return wide(a, atol(b));
	if (!strcmp(what, "spoof6"))
		return spoof6(a, b, atol(c));
	if (!strcmp(what, "listen6"))
		return listen6(atol(a));
	if (!strcmp(what, "ttl"))
		return probe_ttl(a, atol(b));
	if (!strcmp(what, "mount"))
		return answer("mount", mount("none", "/", "tmpfs", 0, ""));
	/* Numbers as the kernel takes them: all 64 bits. */
	if (!strcmp(what, "syscall"))
		return answer("syscall", syscall(strtoul(a, 0, 0), strtoul(b, 0, 0), strtoul(c, 0, 0), 0, 0, 0, 0));
	/* socketcall(SYS_SOCKET, {family, SOCK_STREAM, 0}) as a program of 32 bits makes it. */
	if (!strcmp(what, "socketcall")) {
		/* The argument block has to be where 32 bits reach. */
		unsigned int *args = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
		int result;
		args[0] = strtoul(a, 0, 0), args[1] = SOCK_STREAM, args[2] = 0;
		__asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(1), "c"(args) : "memory");
		errno = -result;
		return answer("socketcall", result < 0 ? -1 : result);
	}
	fprintf(stderr, "unknown attempt %s\n", what);
	return 2;
}
