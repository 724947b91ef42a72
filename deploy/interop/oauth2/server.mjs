// nodemailer's smtp-server with XOAUTH2 alone. PORT, CERT, KEY, INTROSPECTION (its
// address), SECRET, and MAIL: a folder that gets what is sent.
import { readFileSync, writeFileSync } from 'node:fs';
import { SMTPServer } from 'smtp-server';

const { PORT, CERT, KEY, INTROSPECTION, SECRET, MAIL } = process.env;
let n = 0;

async function isGood(token, username) {
  const answer = await fetch(INTROSPECTION, {
    method: 'POST', body: new URLSearchParams({ token }),
    headers: { authorization: `Basic ${Buffer.from(`server:${SECRET}`).toString('base64')}` },
  });
  const said = await answer.json();
  return said.active && said.username === username;
}

new SMTPServer({
  cert: readFileSync(CERT), key: readFileSync(KEY), authMethods: ['XOAUTH2'], disableReverseLookup: true,
  onAuth(auth, session, done) {
    isGood(auth.accessToken, auth.username).then(
      (good) => done(null, good ? { user: auth.username } : { data: { status: '401', schemes: 'bearer' } }),
      done,
    );
  },
  onData(stream, session, done) {
    const pieces = [];
    stream.on('data', (piece) => pieces.push(piece));
    stream.on('end', () => {
      n += 1;
      writeFileSync(`${MAIL}/${n}.eml`, Buffer.concat(pieces));
      done(null, '2.0.0 kept');
    });
  },
}).listen(Number(PORT), '127.0.0.1');
