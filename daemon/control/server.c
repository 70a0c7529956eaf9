// SPDX-License-Identifier: Apache-2.0
// The listening socket: made here (a live daemon's is left alone, a stale file replaced) or passed by
// systemd; and the door: each new connection is let in, or told why not. Thread: control.
#include "internal.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "rpc_error.h"

enum { BACKLOG = 1024, LOCK_TRIES = 100 };

// --- Making the socket ---

// Makes the folders above a path, as anybody may pass through them.
static int make_parents(const char *path, char *error, size_t size)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *slash = strchr(folder + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(folder, 0755) == 0) {
			if (chmod(folder, 0755) < 0) // whatever the umask took away
				log_warning("%s: %s", folder, strerror(errno));
		} else if (errno != EEXIST) {
			snprintf(error, size, "cannot make folder %s: %s; choose another --socket",
				folder, strerror(errno));
			return -errno;
		}
		*slash = '/';
	}
	return 0;
}

// Two daemons that start at the same moment must not both find a stale file and replace each
// other's socket: the folder is locked from the look at the file until the new socket listens.
// Returns a descriptor to close, or -1 where the folder cannot be locked.
static int lock_folder(const char *path)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	char folder[PATH_MAX];
	char *slash;
	int fd;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		snprintf(folder, sizeof(folder), ".");
	else
		slash[slash == folder] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

// Looks at what lies at the address. Returns 0 when it is free (again).
static int clear_address(const struct sockaddr_un *address, char *error, size_t size)
{
	const char *path = address->sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		rc = -errno;
		snprintf(error, size, "%s: %s", path, strerror(errno));
		return rc;
	}
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(
			error, size, "%s is no socket; remove it or choose another --socket", path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		rc = -errno;
		snprintf(error, size, "no socket can be made: %s", strerror(errno));
		return rc;
	}
	// EAGAIN: somebody listens, with a full backlog; EPERM, EACCES: not ours to replace
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED && rc != ENOENT) {
		snprintf(error, size,
			rc == EACCES || rc == EPERM
				? "%s belongs to somebody else; choose another --socket"
				: "another daemon answers on %s; "
				  "stop it or choose another --socket",
			path);
		return rc == EACCES || rc == EPERM ? -rc : -EADDRINUSE;
	}
	if (unlink(path) < 0 && errno != ENOENT) {
		rc = -errno;
		snprintf(error, size, "stale socket %s cannot be removed: %s", path,
			strerror(errno));
		return rc;
	}
	log_info("stale socket %s replaced", path);
	return 0;
}

static int bind_and_listen(
	struct control *c, const struct sockaddr_un *address, int *ret_fd, char *error, size_t size)
{
	struct stat st;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		goto fail;
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		goto fail;
	// Anybody may connect, to be told why they may do no more: credentials decide, not the mode.
	if (lstat(address->sun_path, &st) < 0 || chmod(address->sun_path, 0666) < 0 ||
		listen(fd, BACKLOG) < 0) {
		rc = -errno;
		unlink(address->sun_path);
		errno = -rc;
		goto fail;
	}
	c->socket_dev = st.st_dev;
	c->socket_ino = st.st_ino;
	c->socket_is_ours = true;
	*ret_fd = fd;
	return 0;
fail:
	rc = -errno;
	snprintf(error, size, "cannot listen on %s: %s", address->sun_path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static int make_socket(struct control *c, int *ret_fd, char *error, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int lock, rc;

	if (c->socket[0] == '\0' || strlen(c->socket) >= sizeof(address.sun_path)) {
		snprintf(error, size, "socket path '%s' must have 1 to %zu bytes", c->socket,
			sizeof(address.sun_path) - 1);
		return -EINVAL;
	}
	strcpy(address.sun_path, c->socket);
	rc = make_parents(c->socket, error, size);
	if (rc < 0)
		return rc;
	lock = lock_folder(c->socket);
	rc = clear_address(&address, error, size);
	if (rc == 0)
		rc = bind_and_listen(c, &address, ret_fd, error, size);
	if (lock >= 0)
		close(lock);
	return rc;
}

// A listening socket that systemd made for us. Returns 1 with it, 0 when there is none.
static int passed_socket(int *ret_fd)
{
	int n = sd_listen_fds(1), found = 0;

	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n; fd++) {
		if (!found && sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0) {
			evutil_make_socket_nonblocking(fd);
			*ret_fd = fd;
			found = 1;
		} else {
			log_warning(
				"descriptor %d passed by the service manager is not used: it is "
				"no listening UNIX stream socket, or not the first",
				fd);
			close(fd);
		}
	}
	return found;
}

// --- The door ---

static int refusal_line(char *text, size_t size, int code, const char *message)
{
	return snprintf(text, size,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":%d,\"message\":\"%s\"}}\n",
		code, message);
}

// For connections that get no session: the line fits into any fresh socket's buffer.
static void refuse_at_once(int fd, const char *line)
{
	ssize_t n = send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		log_debug("refused client: %s", strerror(errno));
	close(fd);
}

// Refused clients stay for a moment, so that one that writes before it reads sees the error, not a
// broken pipe; only so many of them.
static void refuse(struct control *c, int fd, int code, const char *message)
{
	char line[512];

	refusal_line(line, sizeof(line), code, message);
	if (c->refused_count >= REFUSED_MAX)
		refuse_at_once(fd, line);
	else
		session_open(c, fd, ACCESS_NONE, (uid_t)-1, 0, line);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd,
	struct sockaddr *address, int size, void *ctx)
{
	struct control *c = ctx;
	enum access access = ACCESS_NONE;
	uid_t uid = 0;
	pid_t pid = 0;
	char message[384];
	int rc;

	(void)listener;
	(void)address;
	(void)size;
	c->count[COUNT_accepted]++;
	rc = auth_peer(c, fd, &access, &uid, &pid);
	if (rc < 0 || access == ACCESS_NONE) {
		c->count[COUNT_refused_peer]++;
		log_info("client uid %u pid %d refused", (unsigned)uid, (int)pid);
		snprintf(message, sizeof(message),
			"user %u may not use this daemon; "
			"root may, and members of group %.100s (read) or %.100s (change)",
			(unsigned)uid, c->group_read, c->group_admin);
		refuse(c, fd, RPC_DENIED, message);
	} else if (c->count[COUNT_clients] >= c->max_clients) {
		c->count[COUNT_refused_clients]++;
		snprintf(message, sizeof(message),
			"%u clients are connected, as many as are allowed; close one",
			c->max_clients);
		refuse(c, fd, RPC_LIMIT, message);
	} else {
		session_open(c, fd, access, uid, pid, NULL);
	}
}

static void on_listen_again(evutil_socket_t fd, short what, void *ctx)
{
	struct control *c = ctx;

	(void)fd;
	(void)what;
	evconnlistener_enable(c->listener);
}

// Out of descriptors: the connection would stay in the backlog and wake us for ever. One descriptor
// is kept for this: it is given up to take the connection and tell the client. Where even that
// fails, listening rests for a while.
static void on_accept_error(struct evconnlistener *listener, void *ctx)
{
	const struct timeval pause = {.tv_usec = 200 * 1000};
	struct control *c = ctx;
	char line[512];
	int error = errno, fd;

	c->count[COUNT_accept_errors]++;
	if ((error == EMFILE || error == ENFILE) && c->reserve_fd >= 0) {
		close(c->reserve_fd);
		fd = accept4(evconnlistener_get_fd(listener), NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			c->count[COUNT_refused_files]++;
			refusal_line(line, sizeof(line), RPC_LIMIT,
				"the daemon has no file descriptor left; "
				"close clients or raise its limit (LimitNOFILE)");
			refuse_at_once(fd, line);
		}
		c->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return;
	}
	log_warning("no connection can be taken: %s", strerror(error));
	evconnlistener_disable(listener);
	evtimer_add(c->listen_again, &pause);
}

// Each client takes a descriptor: the limit is raised as far as it may be, else fewer are let in.
static unsigned clients_by_files(unsigned wanted)
{
	struct rlimit limit;
	rlim_t needed = (rlim_t)wanted + FILES_RESERVED;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return wanted;
	limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return wanted;
	if (limit.rlim_cur >= needed)
		return wanted;
	wanted = limit.rlim_cur > 2 * FILES_RESERVED ? (unsigned)(limit.rlim_cur - FILES_RESERVED)
	                                             : (unsigned)(limit.rlim_cur / 2);
	log_notice("at most %u clients: the process may open %lu files (LimitNOFILE)", wanted,
		(unsigned long)limit.rlim_cur);
	return wanted;
}

int server_start(struct control *c, char *error, size_t size)
{
	int fd = -1, rc;

	c->max_clients = clients_by_files(
		c->config.max_clients > 0 ? c->config.max_clients : (unsigned)CLIENTS_MAX);
	c->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (!passed_socket(&fd)) {
		rc = make_socket(c, &fd, error, size);
		if (rc < 0)
			return rc;
	}
	c->listen_again = evtimer_new(c->base, on_listen_again, c);
	c->listener = evconnlistener_new(
		c->base, on_connection, c, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (c->listen_again == NULL || c->listener == NULL) {
		snprintf(error, size, "no memory for the socket");
		if (c->listener == NULL)
			close(fd);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(c->listener, on_accept_error);
	return 0;
}

void server_stop(struct control *c)
{
	struct stat st;

	// unlinked while it still listens: whoever comes next never finds a socket without a daemon
	if (c->socket_is_ours && lstat(c->socket, &st) == 0 && st.st_dev == c->socket_dev &&
		st.st_ino == c->socket_ino)
		unlink(c->socket);
	if (c->listener != NULL)
		evconnlistener_free(c->listener);
	if (c->listen_again != NULL)
		event_free(c->listen_again);
	if (c->reserve_fd >= 0)
		close(c->reserve_fd);
}
