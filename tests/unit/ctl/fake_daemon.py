# SPDX-License-Identifier: Apache-2.0
"""A daemon that answers as it is told, one JSON text a line on a UNIX socket."""
import json
import os
import socket
import tempfile
import threading


class RpcError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message


class Raw(bytes):
    """Bytes to send as they are, in place of an answer."""


CLOSE = object()  # in place of an answer: the connection is closed
SILENCE = object()  # no answer


class FakeDaemon:
    """answers: method -> result, list of results (the last one stays), exception, or function(params)."""

    def __init__(self, answers):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, 's')
        self.answers = answers
        self.requests = []
        self.changed = threading.Condition()
        self.greeting = None
        self.close_after = set()  # methods: the connection is closed behind the answer
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen(8)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # the thread must have left accept() before the descriptor's number is used anew
        self.server.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.server.close()
        self.dir.cleanup()

    def accept(self):
        while True:
            try:
                s, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        with s:
            if self.greeting is not None:  # refused at connect
                s.sendall(self.greeting)
                return
            for line in s.makefile('rb'):
                request = json.loads(line)
                with self.changed:
                    self.requests.append(request)
                    n = sum(r['method'] == request['method'] for r in self.requests)
                    self.changed.notify_all()
                reply = self.reply(request, n)
                if reply is CLOSE:
                    return
                try:
                    s.sendall(reply)
                except OSError:
                    return
                if request['method'] in self.close_after:
                    return

    def reply(self, request, n):
        a = self.answers.get(request['method'], RpcError(-32601, 'no method "%s"' % request['method']))
        if isinstance(a, list):
            a = a[min(n, len(a)) - 1]
        try:
            if callable(a):
                a = a(request.get('params', {}))
            if isinstance(a, Exception):
                raise a
        except RpcError as x:
            return json.dumps({'jsonrpc': '2.0', 'error': {'code': x.code, 'message': x.message}, 'id': request['id']}).encode() + b'\n'
        if a is CLOSE:
            return CLOSE
        if a is SILENCE:
            return b''
        if isinstance(a, Raw):
            return a.replace(b'ID', str(request['id']).encode())
        return json.dumps({'jsonrpc': '2.0', 'result': a, 'id': request['id']}).encode() + b'\n'

    def wait_requests(self, method, count, timeout=20):
        """Waits until so many requests of a method came."""
        with self.changed:
            if not self.changed.wait_for(lambda: sum(r['method'] == method for r in self.requests) >= count, timeout):
                raise AssertionError('no %d requests %s' % (count, method))

    def params(self, method):
        return [r.get('params') for r in self.requests if r['method'] == method]
