// An OpenID provider for the interop scripts: oidc-provider with its forms for
// development, on loopback. PORT, and SECRETS as JSON: client secrets, and a JWK of
// the client that has a certificate.
import Provider from 'oidc-provider';

const { PORT, SECRETS } = process.env;
const secrets = JSON.parse(SECRETS);
const loopback = ['http://127.0.0.1', 'http://127.0.0.1/']; // any port, RFC 8252 section 7.3
const application = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };

const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [
    {
      client_id: 'guard', application_type: 'native', token_endpoint_auth_method: 'none', redirect_uris: loopback,
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    },
    { ...application, client_id: 'robot', client_secret: secrets.robot },
    {
      ...application, client_id: 'signer', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'PS256',
      jwks: { keys: [secrets.jwk] },
    },
    { ...application, client_id: 'server', client_secret: secrets.server },
  ],
  features: {
    devInteractions: { enabled: true }, deviceFlow: { enabled: true }, clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true }, revocation: { enabled: true },
  },
  scopes: ['openid', 'email', 'smtp'],
  claims: { email: ['email'] },
  conformIdTokenClaims: false, // the id token says whose mailbox it is
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id, email: `${id}@example.org` }) }),
  extraTokenClaims: (ctx, token) => ({ username: `${token.accountId ?? 'robot'}@example.org` }),
  enabledJWA: { clientAuthSigningAlgValues: ['PS256', 'RS256', 'HS256'] },
  ttl: { AccessToken: 3600, ClientCredentials: 3600, RefreshToken: 86400, DeviceCode: 600, Grant: 86400, Session: 86400, Interaction: 600, IdToken: 3600 },
  cookies: { keys: ['interop'] },
});

// POST /spoil has every access token that a server has asked about refused from
// then on, as where somebody has changed a password. GET /asked counts token requests, GET /issued lists
// all that was given out.
const seen = new Set();
let spoiled = new Set();
let asked = 0;
const issued = [];
for (const kind of ['access_token', 'client_credentials', 'refresh_token', 'authorization_code', 'device_code']) {
  provider.on(`${kind}.saved`, (token) => issued.push(token.jti));
}
provider.use(async (ctx, next) => {
  if (ctx.path === '/spoil') {
    spoiled = new Set(seen);
    ctx.body = '';
    return;
  }
  if (ctx.path === '/asked') {
    ctx.body = String(asked);
    return;
  }
  if (ctx.path === '/issued') {
    ctx.body = issued;
    return;
  }
  if (ctx.path === '/token') asked += 1;
  await next();
  if (ctx.oidc?.route === 'introspection' && ctx.body?.active) {
    const token = ctx.oidc.params.token;
    seen.add(token);
    if (spoiled.has(token)) ctx.body = { active: false };
  }
});

provider.listen(Number(PORT), '127.0.0.1');
