# SPDX-License-Identifier: Apache-2.0
"""The socket itself: stale, live, not ours, passed by systemd; and what the service manager hears."""
import os
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import unittest

from harness import PATIENCE, Client, Daemon, wait_for


class Socket(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='ctl')
        self.path = os.path.join(self.folder, 's')

    def tearDown(self):
        subprocess.run(['rm', '-rf', self.folder])

    def refused(self, path, *words):
        d = Daemon(path=path, expect=None)
        self.assertEqual(d.p.wait(PATIENCE), 2)
        for w in words + ('--socket',):
            self.assertIn(w, d.first)
        d.stop(check=False)

    def test_live(self):
        with Daemon(path=self.path) as d, d.client() as c:
            self.refused(self.path, 'another daemon answers', self.path)
            self.assertEqual(c.call('capture.list'), {'captures': []})
            with d.client() as c2:
                c2.call('capture.list')
        self.assertFalse(os.path.exists(self.path))

    def test_live_with_a_full_backlog(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(self.path)
        s.listen(0)
        held = []
        for _ in range(5):
            c = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            c.setblocking(False)
            try:
                c.connect(self.path)
            except BlockingIOError:
                pass
            held.append(c)
        self.refused(self.path, 'another daemon answers')
        self.assertTrue(os.path.exists(self.path))
        for c in held + [s]:
            c.close()

    def test_stale(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(self.path)
        s.close()
        with Daemon(path=self.path) as d, d.client() as c:
            c.call('capture.list')

    def test_killed(self):
        d = Daemon(path=self.path)
        d.p.kill()
        d.p.wait(PATIENCE)
        d.stop(check=False)
        self.assertTrue(os.path.exists(self.path))
        with Daemon(path=self.path) as d, d.client() as c:
            c.call('capture.list')

    def test_many_at_once_on_a_stale_one(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(self.path)
        s.close()
        daemons = []
        threads = [threading.Thread(target=lambda: daemons.append(Daemon(path=self.path, expect=None))) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([d.first for d in daemons].count('ready'), 1)
        with Client(self.path) as c:
            pid = c.call('system.info')['pid']
        self.assertEqual([d.p.pid for d in daemons if d.first == 'ready'], [pid])
        for d in daemons:
            d.stop(check=d.first == 'ready')

    def test_no_socket(self):
        with open(self.path, 'w') as f:
            f.write('precious')
        self.refused(self.path, 'is no socket')
        with open(self.path) as f:
            self.assertEqual(f.read(), 'precious')

    def test_path(self):
        d = Daemon(path=os.path.join(self.folder, 'x' * 120), expect=None)
        self.assertEqual(d.p.wait(PATIENCE), 2)
        self.assertIn('1 to 107 bytes', d.first)
        d.stop(check=False)
        self.refused('/proc/nowhere/s', '/proc/nowhere')

    def test_folders_and_modes(self):
        path = os.path.join(self.folder, 'a', 'b', 's')
        with Daemon(path=path, preexec_fn=lambda: os.umask(0o077)):
            self.assertEqual([stat.S_IMODE(os.stat(p).st_mode) for p in (path, os.path.dirname(path), os.path.join(self.folder, 'a'))], [0o666, 0o755, 0o755])
        self.assertFalse(os.path.exists(path))

    def test_one_that_is_not_ours_stays(self):
        d = Daemon(path=self.path)
        os.unlink(self.path)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(self.path)
        d.stop()
        self.assertTrue(os.path.exists(self.path))
        s.close()

    def test_activation(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(self.path)
        s.listen(16)
        early = Client(self.path)  # connects before there is a daemon
        early.post('capture.list')
        other = open('/dev/null')

        def pass_fds():
            low = os.dup(s.fileno()), os.dup(other.fileno())
            for at, fd in zip((4, 3), low):
                os.dup2(fd, at)
        # LISTEN_PID must be that of the daemon: the shell keeps its own across exec
        with Daemon(path=os.path.join(self.folder, 'unused'), wrapper=('sh', '-c', 'LISTEN_PID=$$ LISTEN_FDS=2 exec "$0" "$@"'),
                    preexec_fn=pass_fds, close_fds=False) as d:
            self.assertEqual(early.line()['result'], {'captures': []})
            early.close()
            with Client(self.path) as c:
                c.call('capture.list')
            self.assertFalse(os.path.exists(d.path))
            self.assertIn('descriptor 3', d.logged())
        self.assertTrue(os.path.exists(self.path))
        s.close()
        other.close()


class Notify(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='ctl')
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.s.bind(os.path.join(self.folder, 'n'))
        self.s.settimeout(PATIENCE)
        self.env = {'NOTIFY_SOCKET': os.path.join(self.folder, 'n')}

    def tearDown(self):
        self.s.close()
        subprocess.run(['rm', '-rf', self.folder])

    def until(self, word):
        seen = []
        while not any(word in m for m in seen):
            seen.append(self.s.recv(4096).decode())
        return seen

    def test_states(self):
        with Daemon(env=self.env) as d, d.client() as c:
            self.assertIn('READY=1\nSTATUS=0 captures running', self.until('READY=1')[0])
            c.call('capture.start', source='afpacket:a')
            m = self.until('1 capture running')[-1]
            self.assertRegex(m, r'STATUS=1 capture running, \d+\.\d+ Mpps, 200 flows')
            c.call('system.reload')
            seen = self.until('READY=1')
            self.assertTrue(any(m.startswith('RELOADING=1\nMONOTONIC_USEC=') for m in seen), seen)
            d.tell('reload-fails')
            c.error('system.reload')
            self.until('READY=1')  # also when nothing was changed
            d.p.send_signal(signal.SIGTERM)
            self.until('STOPPING=1')

    def test_watchdog(self):
        with Daemon(env=dict(self.env, WATCHDOG_USEC='100000')) as d, d.client() as c:
            for _ in range(3):
                self.until('WATCHDOG=1')
            d.tell('freeze 1')
            wait_for('the watchdog to be held', lambda: c.counters()['watchdog_held'] >= 2)
            self.s.setblocking(False)
            try:  # what was fed before
                while True:
                    self.s.recv(4096)
            except BlockingIOError:
                self.s.settimeout(PATIENCE)
            n = c.counters()['watchdog_held']
            wait_for('more of that', lambda: c.counters()['watchdog_held'] >= n + 3)
            d.tell('thaw')
            seen = self.until('WATCHDOG=1')
            self.assertEqual([m for m in seen[:-1] if 'WATCHDOG' in m], [])
            self.assertIn('worker 1 stands still', d.logged())


if __name__ == '__main__':
    unittest.main()
