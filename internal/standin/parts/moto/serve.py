"""Serves moto so that each S3 write with a condition is one step, as it is in S3.

By itself moto looks whether the key is there and writes in two steps, on as many threads as there are callers: of many that
write If-None-Match: * two win now and then.
"""

import sys
import threading

from moto import server

one_at_a_time = threading.Lock()
dispatch = server.DomainDispatcherApplication.__call__


def call(self, environ, start_response):
    if "HTTP_IF_NONE_MATCH" not in environ or environ["REQUEST_METHOD"] not in ("PUT", "POST"):
        return dispatch(self, environ, start_response)
    with one_at_a_time:
        return dispatch(self, environ, start_response)


server.DomainDispatcherApplication.__call__ = call
sys.exit(server.main())
