"""An endpoint that verifies what it gets with the reference library of Standard Webhooks: verify_webhooks.py PORT SECRET COUNT [CERTIFICATE:KEY]

Ends behind COUNT messages and prints what they held, in their order; a message that is not as it was signed is null.
"""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, secret, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
verifier = Webhook(secret)
messages = []


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            content = verifier.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError as error:
            print(error, file=sys.stderr)
            content = None
        messages.append({"id": self.headers["webhook-id"], "content": content})
        self.send_response(204 if content else 401)
        self.end_headers()

    def log_message(self, format, *args):
        print(format % args, file=sys.stderr)


class Server(HTTPServer):
    def handle_error(self, request, client_address):
        print("a connection was no good:", sys.exc_info()[1], file=sys.stderr)


server = Server(("127.0.0.1", port), Endpoint)
if len(sys.argv) > 4:
    certificate, key = sys.argv[4].split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # The handshake is made with the first bytes read, where a bad one is an error of its connection alone.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
while len(messages) < count:
    server.handle_request()
print(json.dumps(messages))
