// SPDX-License-Identifier: Apache-2.0
// Who may do what: decided once, when a client connects, by the credentials that the kernel recorded
// at that moment (SO_PEERCRED, and SO_PEERGROUPS for supplementary groups). Root and the daemon's own
// user may do all; members of one group may read, those of another may also change.
#include "internal.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

static gid_t group_id(const char *name)
{
	char small[1024], *buffer = small, *grown;
	size_t size = sizeof(small);
	struct group group, *found = NULL;
	gid_t gid = (gid_t)-1;
	int rc;

	if (name == NULL || name[0] == '\0')
		return gid;
	while ((rc = getgrnam_r(name, &group, buffer, size, &found)) == ERANGE && size < 1 << 20) {
		size *= 4;
		grown = realloc(buffer == small ? NULL : buffer, size);
		if (grown == NULL)
			break;
		buffer = grown;
	}
	if (rc == 0 && found != NULL)
		gid = group.gr_gid;
	else
		log_info("no group '%s': only root and uid %u are let in by it", name,
			(unsigned)geteuid());
	if (buffer != small)
		free(buffer);
	return gid;
}

void auth_resolve_groups(struct control *c)
{
	c->gid_read = group_id(c->group_read);
	c->gid_admin = group_id(c->group_admin);
}

static void raise_access(const struct control *c, gid_t gid, enum access *access)
{
	if (c->gid_admin != (gid_t)-1 && gid == c->gid_admin)
		*access = ACCESS_ADMIN;
	else if (c->gid_read != (gid_t)-1 && gid == c->gid_read && *access == ACCESS_NONE)
		*access = ACCESS_READ;
}

// Supplementary groups: the kernel says how many there are when the buffer is too small.
static int access_by_groups(const struct control *c, int fd, enum access *access)
{
	socklen_t size = 64 * sizeof(gid_t);
	gid_t *gids = NULL, *grown;
	int rc = -ENOMEM;

	while ((grown = realloc(gids, size)) != NULL) {
		gids = grown;
		rc = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &size) < 0 ? -errno : 0;
		if (rc != -ERANGE)
			break;
	}
	if (rc == 0)
		for (size_t i = 0; i < size / sizeof(gid_t); i++)
			raise_access(c, gids[i], access);
	free(gids);
	return rc;
}

int auth_peer(const struct control *c, int fd, enum access *ret, uid_t *ret_uid, pid_t *ret_pid)
{
	enum access access = ACCESS_NONE;
	struct ucred peer;
	socklen_t size = sizeof(peer);
	int rc;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return -errno;
	if (peer.uid == 0 || peer.uid == geteuid()) {
		access = ACCESS_ADMIN;
	} else {
		raise_access(c, peer.gid, &access);
		rc = access_by_groups(c, fd, &access);
		if (rc < 0)
			return rc;
	}
	*ret = access;
	*ret_uid = peer.uid;
	*ret_pid = peer.pid;
	return 0;
}
