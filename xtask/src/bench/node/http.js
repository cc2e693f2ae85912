// The http example in Node: the same options, the same answers, the same lines.
'use strict';
const cluster = require('node:cluster');
const http = require('node:http');
const { parseArgs } = require('node:util');

const { values: options } = parseArgs({
  options: {
    'listen': { type: 'string', default: '127.0.0.1:8000' },
    'workers': { type: 'string', default: '2' },
    'schedule': { type: 'string', default: 'rr' },
    'roll-every': { type: 'string' },
  },
});

function serve(name) {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/plain; charset=utf-8');
    response.setHeader('content-length', Buffer.byteLength(name));
    response.end(name);
  });
  const [, host, port] = /^(.*):(\d+)$/.exec(options.listen);
  server.listen(Number(port), host);
}

function lead() {
  const say = (line) => process.stdout.write(line + '\n');
  const policies = { rr: cluster.SCHED_RR, none: cluster.SCHED_NONE };
  if (!(options.schedule in policies)) {
    process.stderr.write(`unknown schedule ${options.schedule}\n`);
    process.exit(2);
  }
  cluster.schedulingPolicy = policies[options.schedule];
  say(`primary ${process.pid}`);
  let fresh;
  let ending = false;
  cluster.on('fork', (worker) => say(`fork ${worker.id} ${worker.process.pid}`));
  cluster.on('online', (worker) => say(`online ${worker.id}`));
  cluster.on('disconnect', (worker) => say(`disconnect ${worker.id}`));
  cluster.on('listening', (worker, address) => {
    say(`listening ${worker.id} ${address.address}:${address.port}`);
    if (worker === fresh) {
      fresh = undefined;
      const stays = (other) => other !== worker && !other.exitedAfterDisconnect;
      Object.values(cluster.workers).find(stays)?.disconnect();
    }
  });
  cluster.on('exit', (worker, code, signal) => {
    const asked = worker.exitedAfterDisconnect;
    say(`exit ${worker.id} code=${code ?? '-'} signal=${signal ?? '-'} ` +
      `exited_after_disconnect=${asked}`);
    if (worker === fresh) fresh = undefined;
    else if (!asked && !ending) cluster.fork();
  });
  for (let n = 0; n < Number(options.workers); n++) cluster.fork();
  if (options['roll-every']) {
    setInterval(() => { fresh ??= cluster.fork(); }, Number(options['roll-every'])).unref();
  }
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      ending = true;
      cluster.disconnect(() => process.exit(0));
    });
  }
}

if (cluster.isWorker) {
  process.on('SIGINT', () => {});
  serve(`worker ${cluster.worker.id} pid ${process.pid}\n`);
} else if (Number(options.workers) === 0) {
  serve(`single pid ${process.pid}\n`);
} else {
  lead();
}
