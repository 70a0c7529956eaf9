# SPDX-License-Identifier: Apache-2.0
"""Who may do what, by the credentials of real processes. Needs root, to become others."""
import grp
import json
import os
import subprocess
import sys
import unittest

from harness import Client, Daemon

NOBODY = 65534
DENIED = -32004
READ, ADMIN, OTHER = [g for g in grp.getgrall() if g.gr_gid not in (0, NOBODY)][:3]


def become_and_call(path, uid, gid, groups, calls):
    """Makes calls as somebody else; -> their replies."""
    pid_in, pid_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            replies = []
            with Client(path) as c:
                for method, params in calls:
                    c.post(method, params)  # before it reads: a refusal must be seen all the same
                    replies.append(c.line())
                    if replies[-1]['id'] is None:
                        replies.append(c.line())
                        break
            os.write(pid_out, json.dumps(replies).encode())
            os._exit(0)
        except BaseException as x:
            print(repr(x), file=sys.stderr)
            os._exit(1)
    os.close(pid_out)
    with os.fdopen(pid_in) as f:
        text = f.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, 'the client failed'
    return json.loads(text)


class Access(unittest.TestCase):
    CALLS = [('capture.list', {}), ('stats.get', {'section': 'rpc'}), ('capture.start', {'source': 'afpacket:a'}), ('stats.get', {'section': 'rpc', 'reset': True}),
             ('system.shutdown', {'no': 'such'})]

    def setUp(self):
        self.d = Daemon('--group-read', READ.gr_name, '--group-admin', ADMIN.gr_name)

    def tearDown(self):
        self.d.stop()

    def results(self, gid, groups, uid=NOBODY):
        replies = become_and_call(self.d.path, uid, gid, groups, self.CALLS)
        return [r['error']['code'] if r and 'error' in r else 'ok' if r else None for r in replies]

    def test_root(self):
        self.assertEqual(self.results(0, [], 0), ['ok', 'ok', 'ok', 'ok', -32602])

    def test_nobody_is_refused_at_connect(self):
        for groups in ([], [OTHER.gr_gid], list(range(5000, 5100))):
            r = become_and_call(self.d.path, NOBODY, NOBODY, groups, self.CALLS)
            self.assertEqual(len(r), 2)
            self.assertEqual((r[0]['id'], r[0]['error']['code'], r[1]), (None, DENIED, None))
            for word in ('user 65534', READ.gr_name, ADMIN.gr_name):
                self.assertIn(word, r[0]['error']['message'])
        with self.d.client() as c:
            self.assertEqual(c.counters()['refused_peer'], 3)

    def test_readers(self):
        for gid, groups in ((READ.gr_gid, []), (NOBODY, [READ.gr_gid]), (NOBODY, list(range(5000, 5200)) + [READ.gr_gid])):
            self.assertEqual(self.results(gid, groups), ['ok', 'ok', DENIED, DENIED, -32602])
        with self.d.client() as c:
            self.assertEqual(c.counters()['denied'], 6)
            self.assertEqual(c.call('capture.list'), {'captures': []})

    def test_admins(self):
        for gid, groups in ((ADMIN.gr_gid, []), (NOBODY, [ADMIN.gr_gid]), (READ.gr_gid, [ADMIN.gr_gid]), (NOBODY, [ADMIN.gr_gid, READ.gr_gid])):
            self.assertEqual(self.results(gid, groups), ['ok', 'ok', 'ok', 'ok', -32602])

    def test_group_of_a_name_that_does_not_exist_lets_nobody_in(self):
        with self.d.client() as c:
            c.call('system.reload')  # to the groups pktai and pktai-admin
        names = {g.gr_name for g in grp.getgrall()}
        if not names & {'pktai', 'pktai-admin'}:
            self.assertEqual(self.results(READ.gr_gid, [ADMIN.gr_gid]), [DENIED, None])
            # gid -1 is what a name without group is looked up as
            self.assertEqual(self.results(NOBODY, [2 ** 32 - 2]), [DENIED, None])

    def test_daemon_of_an_ordinary_user(self):
        folder = subprocess.check_output(['mktemp', '-d', '/tmp/ctlXXXXXX'], text=True).strip()
        os.chmod(folder, 0o755)
        os.chown(folder, NOBODY, NOBODY)
        try:
            with Daemon('--group-read', READ.gr_name, path=os.path.join(folder, 's'), user=NOBODY, group=NOBODY, extra_groups=[]) as d:
                mine, self.d, = self.d, d
                try:
                    self.assertEqual(self.results(NOBODY, []), ['ok', 'ok', 'ok', 'ok', -32602])
                    self.assertEqual(self.results(OTHER.gr_gid, [], 65533), [DENIED, None])
                    self.assertEqual(self.results(NOBODY, [], 0), ['ok', 'ok', 'ok', 'ok', -32602])
                finally:
                    self.d = mine
        except PermissionError:
            self.skipTest('another user may not run the harness from here')
        finally:
            subprocess.run(['rm', '-rf', folder])


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('needs root, to connect as other users')
        sys.exit(77)
    unittest.main()
