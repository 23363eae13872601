// A host made with node's ssh2: it knows no certificates.
//
// Arguments: the modules' directory, host key (PEM), port. Prints a line when it listens, serves until it is
// killed, and lets in whoever signs with a key that it can read.
const fs = require('fs');
const [, , modules, key, port] = process.argv;
const { Server, utils } = require(`${modules}/ssh2`);

const server = new Server({ hostKeys: [fs.readFileSync(key)] }, (client) => {
  client.on('error', () => {});
  client.on('authentication', (context) => {
    const key = context.key && utils.parseKey(context.key.data);
    if (context.method === 'publickey' && !(key instanceof Error)) {
      context.accept();
    } else {
      context.reject(['publickey']);
    }
  });
});
server.listen(Number(port), '127.0.0.1', () => console.log('listening'));
