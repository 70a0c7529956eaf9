// SPDX-License-Identifier: Apache-2.0
// Watching a network interface by its index: a name may be given to another interface in between.
#include "capture_internal.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int netdev_watch_init(struct netdev_watch *w, const char *name)
{
	*w = (struct netdev_watch){.fd = -1};
	w->index = (int)if_nametoindex(name);
	if (w->index == 0)
		return -ENODEV;
	// Any socket answers; AF_UNIX needs no right.
	w->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0)
		return -errno;
	snprintf(w->name, sizeof(w->name), "%s", name);
	snprintf(w->down_text, sizeof(w->down_text),
		"interface %s is down; the capture goes on when it is up", w->name);
	snprintf(w->gone_text, sizeof(w->gone_text), "interface %s is gone", w->name);
	return 0;
}

void netdev_watch_fini(struct netdev_watch *w)
{
	if (w->fd > 0) // 0: never initialised
		close(w->fd);
	w->fd = -1;
}

enum capture_state netdev_watch_check(const struct netdev_watch *w)
{
	struct ifreq r = {.ifr_ifindex = w->index};

	if (ioctl(w->fd, SIOCGIFNAME, &r) != 0) // its name now, should it have been renamed
		return CAPTURE_RX_FAILED;
	if (ioctl(w->fd, SIOCGIFFLAGS, &r) != 0)
		return errno == ENODEV || errno == ENXIO ? CAPTURE_RX_FAILED : CAPTURE_RX_PAUSED;
	return (r.ifr_flags & IFF_UP) != 0 ? CAPTURE_RX_RUNNING : CAPTURE_RX_PAUSED;
}
