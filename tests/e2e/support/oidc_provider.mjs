// A provider of OpenID Connect for tests: the package oidc-provider, on loopback, with its own pages
// to sign in. Every login is a person; the password does not matter.
//
// usage: node oidc_provider.mjs DIRECTORY_OF_NODE_MODULES SETTINGS_AS_JSON
//   issuer         the URL that it has
//   redirect_uris  where it may send browsers back to
//   secret         the client's secret
//   people         { LOGIN: { more claims } }
//   key, cert      files in PEM, for HTTPS
//   signing_key    a file in PEM, with the key that signs ID tokens; without it, a new one
//   hostile        what is wrong with its ID tokens and answers: a name in `attacks` below

import {
  createHash, createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { pathToFileURL } from 'node:url';

const [modules, text] = process.argv.slice(2);
const settings = JSON.parse(text);
const { default: Provider } = await import(
  pathToFileURL(`${modules}/oidc-provider/lib/index.js`)
);

const newKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const privateKey = settings.signing_key
  ? createPrivateKey(readFileSync(settings.signing_key))
  : newKey();
const jwk = { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' };
jwk.kid = createHash('sha256').update(jwk.n).digest('hex').slice(0, 16);

const provider = new Provider(settings.issuer, {
  clients: [{
    client_id: 'rproxy',
    client_secret: settings.secret,
    redirect_uris: settings.redirect_uris,
  }],
  jwks: { keys: [jwk] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  // Claims are in the ID token, as Keycloak and others do it.
  conformIdTokenClaims: false,
  claims: {
    openid: ['sub', 'groups'],
    profile: ['preferred_username', 'name'],
    email: ['email', 'email_verified'],
  },
  async findAccount(_context, id) {
    const person = settings.people[id] ?? {};
    return {
      accountId: id,
      claims: async () => ({ sub: `subject-${id}`, preferred_username: id, ...person }),
    };
  },
});
// Each attack changes the answer to a token request.
const encoded = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');
const signedBy = (key, header, claims) => {
  const input = `${encoded(header)}.${encoded(claims)}`;
  return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`;
};
const header = { alg: 'RS256', kid: jwk.kid };
const token = (change) => (claims) => ({ id_token: change(claims) });
const attacks = {
  'wrong nonce': token((claims) => signedBy(privateKey, header, { ...claims, nonce: 'other' })),
  'no nonce': token(({ nonce, ...claims }) => signedBy(privateKey, header, claims)),
  'other audience': token((claims) => signedBy(privateKey, header, { ...claims, aud: 'other' })),
  'other issuer': token((claims) => signedBy(privateKey, header, { ...claims, iss: 'https://id.example.com' })),
  expired: token((claims) => signedBy(privateKey, header, { ...claims, exp: claims.iat - 3600, iat: claims.iat - 7200 })),
  'other key': token((claims) => signedBy(newKey(), header, claims)),
  'unknown key': token((claims) => signedBy(newKey(), { ...header, kid: 'other' }, claims)),
  none: token((claims) => `${encoded({ alg: 'none' })}.${encoded(claims)}.`),
  'key confusion': token((claims) => {
    const input = `${encoded({ ...header, alg: 'HS256' })}.${encoded(claims)}`;
    const pem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
    return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`;
  }),
  'no token': () => ({ id_token: undefined }),
  huge: () => ({ more: 'x'.repeat(8 << 20) }),
};
provider.use(async (context, next) => {
  await next();
  if (!settings.hostile || context.oidc?.route !== 'token') return;
  if (settings.hostile === 'redirect') {
    context.redirect(`${settings.issuer}/token`);
    return;
  }
  const claims = JSON.parse(Buffer.from(context.body.id_token.split('.')[1], 'base64url'));
  context.body = { ...context.body, ...attacks[settings.hostile](claims) };
});
provider.on('server_error', (_context, error) => console.error(error));
provider.on('grant.error', (_context, error) => console.error(error));

const url = new URL(settings.issuer);
const server = url.protocol === 'https:'
  ? https.createServer({ key: readFileSync(settings.key), cert: readFileSync(settings.cert) },
    provider.callback())
  : http.createServer(provider.callback());
server.listen(Number(url.port), url.hostname, () => console.log('ready'));
