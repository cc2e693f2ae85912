// The example `traffic` in Node. A handle is a listening server, which both sides close.
'use strict';
const cluster = require('node:cluster');
const net = require('node:net');

const FEWER = 20;
// Messages are fed in such portions, each of which is waited for: all that is sent is queued.
const PORTION = 1000;

// Sends `count` messages through `sender`.
async function feed(sender, count, handle) {
  for (let number = 0; number < count; number++) {
    const last = number % PORTION === PORTION - 1 || number === count - 1;
    if (!last) sender.send({ number }, handle, { keepOpen: true });
    else await new Promise((sent) => sender.send({ number }, handle, { keepOpen: true }, sent));
  }
}

function listener() {
  return new Promise((ready) => {
    const server = net.createServer();
    server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => ready(server));
  });
}

async function measure(count) {
  const worker = cluster.fork();
  await new Promise((online) => worker.once('online', online));
  const few = Math.floor(count / FEWER);
  const handle = await listener();
  const message = () => new Promise((got) => {
    worker.once('message', (parcel, back) => { back?.close(); got(parcel); });
  });
  const timed = async (work) => {
    const started = process.hrtime.bigint();
    await work();
    return Number(process.hrtime.bigint() - started) / 1e9;
  };
  const trips = (times, ...ride) => timed(async () => {
    for (let n = 0; n < times; n++) {
      const answer = message();
      worker.send('echo', ...ride);
      await answer;
    }
  });
  const out = (times, ride) => timed(async () => {
    await feed(worker, times, ride);
    const answer = message();
    worker.send('echo');
    await answer;
  });
  const back = (times, withHandles) => timed(() => new Promise((all) => {
    let got = 0;
    const take = (parcel, given) => {
      given?.close();
      if (++got === times) { worker.off('message', take); all(); }
    };
    worker.on('message', take);
    worker.send({ count: times, withHandles });
  }));
  const print = (what, figure) => console.log(`${what}: ${figure.toFixed(2)}`);
  await trips(Math.floor(few / FEWER));
  print('round trip', await trips(few) * 1e6 / few);
  print('round trip with handle', await trips(few, handle, { keepOpen: true }) * 1e6 / few);
  print('out', count / await out(count));
  print('in', count / await back(count, false));
  print('out with handles', few / await out(few, handle));
  print('in with handles', few / await back(few, true));
  handle.close();
  worker.disconnect();
}

async function obey() {
  const handle = await listener();
  process.on('message', (parcel, given) => {
    if (parcel === 'echo') {
      process.send('echo', given, { keepOpen: true }, () => given?.close());
    } else {
      given?.close();
      if (parcel.count) feed(process, parcel.count, parcel.withHandles ? handle : undefined);
    }
  });
  process.on('disconnect', () => process.exit(0));
}

if (cluster.isPrimary) measure(Number(process.argv[2]));
else obey();
