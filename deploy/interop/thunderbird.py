"""Thunderbird as a client: without a screen, told what to do through its remote
control (Marionette), as its user would: write, send, read what it shows.
"""

import json
import os
import socket

from lab import HOST
from servers import USER

PREFERENCES = {
    "mail.accountmanager.accounts": "account1", "mail.accountmanager.defaultaccount": "account1",
    "mail.account.account1.identities": "id1", "mail.account.account1.server": "server1",
    "mail.server.server1.type": "pop3", "mail.server.server1.hostname": HOST, "mail.server.server1.userName": USER,
    "mail.server.server1.name": "interop", "mail.server.server1.login_at_startup": False, "mail.server.server1.check_new_mail": False,
    "mail.identity.id1.useremail": f"{USER}@example.org", "mail.identity.id1.smtpServer": "smtp1", "mail.identity.id1.valid": True,
    "mail.identity.id1.fcc": False, "mail.default_send_format": 3,  # HTML with its text
    "mail.smtpservers": "smtp1", "mail.smtp.defaultserver": "smtp1", "mail.smtpserver.smtp1.type": "smtp",
    "mail.smtpserver.smtp1.hostname": HOST, "mail.smtpserver.smtp1.port": 25, "mail.smtpserver.smtp1.username": USER,
    "mail.smtpserver.smtp1.authMethod": 3, "mail.smtpserver.smtp1.try_ssl": 0,  # the password as it is, no TLS
    "mail.compose.warn_public_recipients.threshold": 1000,
    "mail.shell.checkDefaultClient": False, "app.update.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False, "network.connectivity-service.enabled": False,
}

# Sends a message and returns whether its window has closed, as it does when the
# message is sent, and the text of all dialogs that came before.
SEND = """
const [port, password, sender, to, subject, body, format, done] = arguments;
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const wait = ms => new Promise(r => Services.wm.getMostRecentWindow("mail:3pane").setTimeout(r, ms));
const windows = part => [...Services.wm.getEnumerator(null)].filter(w => w.location.href.includes(part) && w.document.readyState == "complete");

async function send() {
  const server = MailServices.outgoingServer.defaultServer;
  Services.prefs.setIntPref("mail.smtpserver.smtp1.port", port);
  server.closeCachedConnections();
  server.password = password;
  const identity = MailServices.accounts.defaultAccount.defaultIdentity;
  identity.email = sender;

  const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
  Object.assign(fields, { to, subject, body });
  const params = Cc["@mozilla.org/messengercompose/composeparams;1"].createInstance(Ci.nsIMsgComposeParams);
  Object.assign(params, { composeFields: fields, format: Ci.nsIMsgCompFormat[format], identity });
  MailServices.compose.OpenComposeWindowWithParams(null, params);
  let window;
  while (!(window = windows("messengercompose")[0]) || !window.gMsgCompose?.editor || window.gWindowLocked) await wait(50);
  await wait(500);
  window.goDoCommand("cmd_sendNow");

  const shown = [];
  while (!window.closed) {
    await wait(50);
    for (const { document } of windows("commonDialog")) {
      shown.push(document.getElementById("infoBody").textContent);
      const dialog = document.getElementById("commonDialog");
      const cancel = dialog.getButton("cancel");
      (cancel.hidden ? dialog.getButton("accept") : cancel).click();
      await wait(200);
    }
    if (shown.length && !window.gSendLocked && !windows("commonDialog").length) {
      window.gContentChanged = false;
      window.close();
      return [false, shown.join("\\n")];
    }
  }
  return [true, shown.join("\\n")];
}
send().then(done, e => done([false, String(e)]));
"""


class Thunderbird:
    """Is started when it is first called."""

    def __init__(self):
        self.remote = None

    def __call__(self, lab, port, mail, format="PlainText"):
        self.remote = self.remote or Marionette(lab)
        closed, shown = self.remote.run(SEND, port, mail.password, mail.sender, ", ".join(mail.to), mail.subject, mail.text().decode(), format)
        return (0 if closed else 1), shown


class Marionette:
    """A Thunderbird and the connection to its remote control: frames of a length,
    a colon, and JSON."""

    def __init__(self, lab, more=None):
        port, profile = lab.port(), lab.folder("thunderbird")
        preferences = PREFERENCES | (more or {}) | {"marionette.port": port}
        lab.write("thunderbird/user.js", "".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in preferences.items()))
        lab.start("thunderbird-output", ["thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile],
                  port, env={"HOME": lab.folder("home"), "PATH": os.environ["PATH"]})
        self.connection = socket.create_connection((HOST, port), timeout=120)
        self.buffer = b""
        self.receive()  # the greeting
        self.command("WebDriver:NewSession")
        self.command("Marionette:SetContext", value="chrome")
        self.command("WebDriver:SetTimeouts", script=60_000)

    def receive(self):
        while b":" not in self.buffer:
            self.buffer += self.more()
        length, _, self.buffer = self.buffer.partition(b":")
        while len(self.buffer) < int(length):
            self.buffer += self.more()
        frame, self.buffer = self.buffer[:int(length)], self.buffer[int(length):]
        return json.loads(frame)

    def more(self):
        return self.connection.recv(65536) or exit("Thunderbird has closed its remote control")

    def command(self, name, **parameters):
        frame = json.dumps([0, 1, name, parameters]).encode()
        self.connection.sendall(b"%d:%s" % (len(frame), frame))
        _, _, error, result = self.receive()
        if error:
            raise RuntimeError(f"{name}: {error}")
        return result

    def run(self, script, *arguments):
        return self.command("WebDriver:ExecuteAsyncScript", script=script, args=arguments, sandbox="system")["value"]
