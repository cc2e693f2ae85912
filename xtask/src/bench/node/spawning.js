// The example `spawning` in Node.
'use strict';
const cluster = require('node:cluster');
const net = require('node:net');

function birth(left) {
  if (left === 0) return;
  const forked = process.hrtime.bigint();
  const since = () => (Number(process.hrtime.bigint() - forked) / 1e6).toFixed(3);
  const worker = cluster.fork();
  worker.on('online', () => console.log(`online: ${since()}`));
  worker.on('listening', () => {
    console.log(`listening: ${since()}`);
    worker.disconnect();
  });
  worker.on('exit', () => birth(left - 1));
}

if (cluster.isPrimary) birth(Number(process.argv[2]));
else net.createServer().listen(0, '127.0.0.1');
