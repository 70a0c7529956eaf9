# SPDX-License-Identifier: Apache-2.0
"""Runs control_harness and talks to it: a Daemon, and Clients of its socket."""
import json
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time

PATIENCE = 20  # seconds until a test gives up waiting; never a time to sleep


class Daemon:
    def __init__(self, *args, expect='ready', wrapper=(), env=None, path=None, **popen):
        self.folder = tempfile.mkdtemp(prefix='ctl')
        os.chmod(self.folder, 0o755)
        self.path = path or os.path.join(self.folder, 's')
        self.log = open(os.path.join(self.folder, 'log'), 'w+')
        self.p = subprocess.Popen([*wrapper, os.environ['CONTROL_HARNESS'], '--socket', self.path, *args], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1, env=dict(os.environ, **(env or {})), **popen)
        self.first = self.p.stdout.readline().strip()
        if expect is not None and self.first != expect:
            self.p.kill()
            raise AssertionError('said %r: %s' % (self.first, self.logged()))

    def logged(self):
        self.log.flush()
        with open(self.log.name) as f:
            return f.read()

    def tell(self, command):
        self.p.stdin.write(command + '\n')
        answer = self.p.stdout.readline()
        assert answer == 'ok\n', (command, answer, self.logged())

    def client(self, **kw):
        return Client(self.path, **kw)

    def stop(self, check=True):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        code = self.p.wait(PATIENCE)
        self.p.stdin.close()
        self.p.stdout.close()
        text = self.logged()
        self.log.close()
        subprocess.run(['rm', '-rf', self.folder])
        if check:
            assert code == 0, 'exit %d: %s' % (code, text[-3000:])
            assert 'is not of its type' not in text, text
        return code, text

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop(check=kind is None)


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error['message'])
        self.code = error['code']
        self.error = error


class Client:
    def __init__(self, path, connect=True):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.s.settimeout(PATIENCE)
        self.buffer = b''
        self.next_id = 0
        if connect:
            self.s.connect(path)

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        """The next line as JSON; None at the end."""
        while b'\n' not in self.buffer:
            data = self.s.recv(1 << 16)
            if not data:
                assert not self.buffer, self.buffer
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def request(self, method, params=None, id=None):
        self.next_id += 1
        r = {'jsonrpc': '2.0', 'id': self.next_id if id is None else id, 'method': method}
        if params is not None:
            r['params'] = params
        return r

    def post(self, method, params=None, **kw):
        r = self.request(method, params, **kw)
        self.send(json.dumps(r) + '\n')
        return r['id']

    def call(self, method, **params):
        n = self.post(method, params)
        reply = self.line()
        assert reply is not None, 'connection closed'
        assert reply['jsonrpc'] == '2.0' and reply['id'] == n, reply
        assert ('result' in reply) != ('error' in reply), reply
        if 'error' in reply:
            raise RpcError(reply['error'])
        return reply['result']

    def error(self, method, **params):
        """The error that a call gets."""
        try:
            result = self.call(method, **params)
        except RpcError as x:
            return x
        raise AssertionError('%s %s answered %s' % (method, params, str(result)[:300]))

    def raw(self, data):
        self.send(data)
        return self.line()

    def counters(self, section='rpc'):
        return {c['name']: c['value'] for c in self.call('stats.get', section=section)['sections'][0]['counters']}

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def wait_for(what, condition):
    """Polls a condition that an event elsewhere brings about."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        selectors.DefaultSelector().select(0.01)
    raise AssertionError('waited in vain for ' + what)
