// A page of a room, with the code of docs/rtc-protocol.md and mediasoup-client as it comes from npm.
// What the tests look at is in window.room.
import { enter } from 'documented';

const pending = new Map();
const told = [];
let lastId = 0;
let socket;
let onNotification = () => {};

function connect() {
  socket = new WebSocket(`ws://${location.host}/rtc`, ['rtc.v1.json']);
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.notification) {
      told.push(frame);
      onNotification(frame);
      return;
    }
    const { resolve, reject } = pending.get(frame.id);
    pending.delete(frame.id);
    if (frame.ok) resolve(frame.data);
    else reject(new Error(`${frame.errorCode}: ${frame.errorReason}`));
  };
  return new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('no connection'));
  });
}

function request(method, data) {
  lastId += 1;
  socket.send(JSON.stringify({ request: true, id: lastId, method, data }));
  return new Promise((resolve, reject) => pending.set(lastId, { resolve, reject }));
}

async function show(room, producerId) {
  const consumer = await room.consume(producerId);
  room.consumers.set(consumer.id, consumer);
  const element = document.createElement(consumer.kind);
  element.srcObject = new MediaStream([consumer.track]);
  element.autoplay = true;
  element.muted = consumer.kind === 'video';
  document.body.append(element);
}

async function listen(room, dataProducerId) {
  const consumer = await room.consumeData(dataProducerId);
  consumer.on('message', (message) => room.messages.push([consumer.label, message]));
  room.listening = consumer.readyState === 'open';
  consumer.on('open', () => { room.listening = true; });
}

// Requests whose transports go over another port: a network that the test made narrow.
function through(port) {
  return async (method, data) => {
    const answer = await request(method, data);
    if (method === 'createWebRtcTransport') {
      answer.iceCandidates = [{ ...answer.iceCandidates.find(({ protocol }) => protocol === 'udp'), port }];
    }
    return answer;
  };
}

async function figures(room) {
  const found = {};
  for (const consumer of room.consumers.values()) {
    for (const entry of (await consumer.getStats()).values()) {
      if (entry.type === 'inbound-rtp') {
        found[consumer.id] = {
          kind: consumer.kind,
          framesDecoded: entry.framesDecoded ?? 0,
          frameWidth: entry.frameWidth ?? 0,
          frameHeight: entry.frameHeight ?? 0,
          packetsReceived: entry.packetsReceived,
          packetsLost: entry.packetsLost,
          audioEnergy: entry.totalAudioEnergy ?? 0,
          samplesEmitted: entry.jitterBufferEmittedCount ?? 0,
          packetsDiscarded: entry.packetsDiscarded ?? 0,
        };
      }
    }
  }
  return found;
}

// Publishes one stream with layers inside; room.camera tells by outbound() what the browser makes of it.
async function sendScalable(room, { mimeType, scalabilityMode, width, height, frameRate, maxBitrate }) {
  const video = { width, height, frameRate };
  const [track] = (await navigator.mediaDevices.getUserMedia({ video })).getVideoTracks();
  room.camera = await room.sending.produce({
    track,
    codec: room.device.rtpCapabilities.codecs.find((codec) => codec.mimeType === mimeType),
    encodings: [{ scalabilityMode, maxBitrate }],
    codecOptions: { videoGoogleStartBitrate: maxBitrate / 1000 },
  });
  // A machine that is too slow for it sends fewer pictures, not smaller ones with fewer layers.
  const parameters = room.camera.rtpSender.getParameters();
  parameters.degradationPreference = 'maintain-resolution';
  await room.camera.rtpSender.setParameters(parameters);
  room.outbound = async () =>
    [...(await room.camera.getStats()).values()].find(({ type }) => type === 'outbound-rtp');
}

window.join = async (roomId, token, { simulcast = false, sends = true, scalable = null, port = null } = {}) => {
  await connect();
  const room = await enter(port === null ? request : through(port), roomId, token);
  room.consumers = new Map();
  room.request = request;
  room.told = told;
  room.messages = [];
  room.figures = () => figures(room);
  room.reconnect = async () => {
    socket.close();
    await connect();
    const { resumeToken } = room.joined;
    const joined = await request('join', { room: roomId, token, resumeToken });
    for (const transport of [room.sending, room.receiving]) {
      await transport.restartIce(await request('restartIce', { transportId: transport.id }));
    }
    return joined;
  };
  onNotification = ({ method, data }) => {
    if (method === 'newProducer') show(room, data.producer.producerId);
    if (method === 'newDataProducer') listen(room, data.dataProducer.dataProducerId);
  };
  for (const { producerId } of room.joined.producers) await show(room, producerId);
  if (scalable !== null) {
    await sendScalable(room, scalable);
  } else if (sends) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 480 } });
    const encodings = simulcast
      ? [
          // Chromium sends two layers of 640 × 480 at most.
          { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 120_000 },
          { rid: 'f', maxBitrate: 500_000 },
        ]
      : undefined;
    await room.sending.produce({ track: stream.getAudioTracks()[0] });
    await room.sending.produce({
      track: stream.getVideoTracks()[0],
      encodings,
      codecOptions: { videoGoogleStartBitrate: 1000 },
    });
  }
  window.room = room;
  return room.joined.participantId;
};
