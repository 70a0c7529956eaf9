// SPDX-License-Identifier: Apache-2.0
// Finding the AF_XDP sockets that a driver has opened and left behind. Only AF_XDP captures have such
// sockets, and the control thread alone opens and closes captures, so what is new since before the
// opening belongs to the device.
#include "port.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#undef NSEC_PER_S // rte_cycles.h: a floating-point number
#include "clock.h"

#define RELEASE_NS (2 * NSEC_PER_S) // the kernel needs milliseconds

static uint64_t closed_ns; // when sockets were last closed; control thread only

void port_sockets_list(struct port_sockets *ret)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	ret->count = 0;
	while (d != NULL && ret->count < RTE_DIM(ret->fds) && (e = readdir(d)) != NULL) {
		int fd = atoi(e->d_name), domain = 0;
		socklen_t length = sizeof(domain);

		if (e->d_name[0] >= '0' && e->d_name[0] <= '9' &&
			getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
			domain == AF_XDP)
			ret->fds[ret->count++] = fd;
	}
	if (d != NULL)
		closedir(d);
}

static bool holds(const struct port_sockets *s, int fd)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->fds[i] == fd)
			return true;
	return false;
}

void port_sockets_since(const struct port_sockets *before, struct port_sockets *ret)
{
	struct port_sockets now;

	port_sockets_list(&now);
	ret->count = 0;
	for (unsigned i = 0; i < now.count; i++)
		if (!holds(before, now.fds[i]))
			ret->fds[ret->count++] = now.fds[i];
}

void port_sockets_close(const struct port_sockets *s)
{
	struct port_sockets now;

	if (s->count == 0)
		return;
	port_sockets_list(&now);
	for (unsigned i = 0; i < s->count; i++)
		if (holds(&now, s->fds[i])) // else the driver has closed it after all
			close(s->fds[i]);
	closed_ns = clock_monotonic_ns();
}

bool port_sockets_wait(void)
{
	struct timespec wait = {.tv_nsec = 50 * 1000 * 1000};

	if (closed_ns == 0 || clock_monotonic_ns() - closed_ns > RELEASE_NS)
		return false;
	nanosleep(&wait, NULL);
	return true;
}
