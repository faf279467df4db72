/**
 * What two looks at a connection's statistics say of the time between them. Pure.
 *
 * A report is a Map as RTCPeerConnection.getStats gives it. Figures are null where nobody can tell.
 */

/** `{reports of one look, taken at `time` in seconds}` -> what is compared later. */
export function look(report, direction, time) {
  const streams = [...report.values()].filter(({ type }) => type === `${direction}-rtp`);
  return { time, report, video: streams.find(({ kind }) => kind === 'video'), audio: streams.find(({ kind }) => kind === 'audio') };
}

/** Of what is sent: `{bitrate, framesPerSecond, width, height, codecs, roundTrip, loss, limitedBy}`. */
export function sendingFigures(before, now) {
  const remote = [...now.report.values()].filter(({ type }) => type === 'remote-inbound-rtp');
  return {
    ...sharedFigures(before, now, 'bytesSent'),
    framesPerSecond: rate(before, now, 'framesEncoded'),
    roundTrip: roundTripOf(now.report) ?? firstNumber(remote.map(({ roundTripTime }) => roundTripTime)),
    loss: worst(remote.map(({ fractionLost }) => fractionLost)),
    limitedBy: limitOf(now.video?.qualityLimitationReason),
  };
}

/** Of what comes: `{bitrate, framesPerSecond, width, height, codecs, roundTrip, loss, delay}`; delay in seconds. */
export function receivingFigures(before, now) {
  return {
    ...sharedFigures(before, now, 'bytesReceived'),
    framesPerSecond: rate(before, now, 'framesDecoded'),
    roundTrip: roundTripOf(now.report),
    loss: lossBetween(before, now),
    delay: delayBetween(before?.video, now.video) ?? delayBetween(before?.audio, now.audio),
  };
}

/** What has come out of the decoders: `{video, audio}`, both counts. What was made up for lack of packets is not counted. */
export function decoded({ video, audio }) {
  const samples = audio?.totalSamplesReceived === undefined ? audio?.packetsReceived : audio.totalSamplesReceived - (audio.concealedSamples ?? 0);
  return { video: video?.framesDecoded ?? 0, audio: samples ?? 0 };
}

function sharedFigures(before, now, bytes) {
  const { video, audio, report } = now;
  return {
    bitrate: sum([bitsBetween(before, now, 'video', bytes), bitsBetween(before, now, 'audio', bytes)]),
    width: video?.frameWidth ?? 0,
    height: video?.frameHeight ?? 0,
    codecs: [video, audio].map((stream) => codecOf(report, stream)).filter(Boolean),
  };
}

function codecOf(report, stream) {
  const type = report.get(stream?.codecId)?.mimeType ?? '';
  return { h264: 'H.264', h265: 'HEVC', opus: 'Opus' }[type.split('/')[1]?.toLowerCase()] ?? type.split('/')[1] ?? '';
}

/** The selected pair's, in seconds. */
function roundTripOf(report) {
  const transport = [...report.values()].find(({ type }) => type === 'transport');
  const pairs = [...report.values()].filter(({ type }) => type === 'candidate-pair');
  const pair = report.get(transport?.selectedCandidatePairId) ?? pairs.find(({ nominated, state }) => nominated && state === 'succeeded');
  return pair?.currentRoundTripTime ?? null;
}

function bitsBetween(before, now, kind, name) {
  const seconds = now.time - (before?.time ?? now.time);
  const [old, fresh] = [before?.[kind]?.[name], now[kind]?.[name]];
  if (seconds <= 0 || old === undefined || fresh === undefined) return null;
  return Math.max(0, ((fresh - old) * 8) / seconds);
}

function rate(before, now, name) {
  const bits = bitsBetween(before, now, 'video', name);
  return bits === null ? null : bits / 8;
}

/** A share from 0 to 1. */
function lossBetween(before, now) {
  const lost = sum(['video', 'audio'].map((kind) => difference(before, now, kind, 'packetsLost')));
  const received = sum(['video', 'audio'].map((kind) => difference(before, now, kind, 'packetsReceived')));
  if (lost === null || received === null || lost + received <= 0) return null;
  return Math.max(0, lost) / (Math.max(0, lost) + received);
}

function difference(before, now, kind, name) {
  const [old, fresh] = [before?.[kind]?.[name], now[kind]?.[name]];
  return old === undefined || fresh === undefined ? null : fresh - old;
}

/** What the pictures of the meantime waited for in the receiver on average. */
function delayBetween(old, fresh) {
  const emitted = (fresh?.jitterBufferEmittedCount ?? 0) - (old?.jitterBufferEmittedCount ?? 0);
  if (!old || emitted <= 0) return null;
  return (fresh.jitterBufferDelay - old.jitterBufferDelay) / emitted;
}

function limitOf(reason) {
  return reason === 'bandwidth' || reason === 'cpu' ? reason : null;
}

function firstNumber(values) {
  return values.find((value) => typeof value === 'number') ?? null;
}

function worst(values) {
  const numbers = values.filter((value) => typeof value === 'number');
  return numbers.length > 0 ? Math.max(...numbers) : null;
}

/** Of those that are known; null when none is. */
function sum(values) {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? known.reduce((total, value) => total + value, 0) : null;
}
