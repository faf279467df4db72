/** From the browser's offer to RTP parameters, and back to an answer: ORTC by way of SDP. Pure. */

const NEW_LINE = '\r\n';
const RTX = 'rtx';

/** `{fingerprint, sections}` of an SDP offer; a section is `{mid, kind, codecs, extensions, ssrc, rtxSsrc, cname}`. */
export function readOffer(sdp) {
  const [session, ...sections] = sdp.split(/\r?\n(?=m=)/).map((part) => part.split(/\r?\n/).filter(Boolean));
  const all = [...session, ...sections.flat()];
  const [algorithm, value] = valueOf(all, 'a=fingerprint:').split(' ');
  return { fingerprint: { algorithm: algorithm.toLowerCase(), value }, sections: sections.map(readSection) };
}

/** What of a section the router can take, as its RTP parameters; null when that is no codec at all. */
export function sendingParameters(section, capabilities) {
  const codec = section.codecs.find((own) => own.name !== RTX && capabilities.codecs.some((other) => matches(own, other)));
  if (codec === undefined) return null;
  const retransmission = section.codecs.find(({ name, parameters }) => name === RTX && parameters.apt === codec.payloadType);
  const known = capabilities.headerExtensions.filter(({ kind }) => kind === section.kind).map(({ uri }) => uri);
  return {
    mid: section.mid,
    codecs: [codec, retransmission].filter(Boolean).map(({ name: _, ...rest }) => rest),
    headerExtensions: section.extensions.filter(({ uri }) => known.includes(uri)),
    encodings: [{ ssrc: section.ssrc, ...(section.rtxSsrc && retransmission && { rtx: { ssrc: section.rtxSsrc } }) }],
    rtcp: { cname: section.cname, reducedSize: true },
  };
}

/**
 * The answer of a server that takes `taken`: RTP parameters by section, null for what is refused. `server`:
 * `{iceParameters, iceCandidates, dtlsParameters}`.
 */
export function answerOf({ sections }, taken, server) {
  const mids = sections.filter((_, n) => taken[n] !== null).map(({ mid }) => mid);
  const { algorithm, value } = server.dtlsParameters.fingerprints.find((one) => one.algorithm === 'sha-256') ?? server.dtlsParameters.fingerprints[0];
  const lines = ['v=0', 'o=- 1 1 IN IP4 0.0.0.0', 's=-', 't=0 0', 'a=ice-lite', `a=fingerprint:${algorithm} ${value}`, `a=group:BUNDLE ${mids.join(' ')}`];
  sections.forEach((section, n) => lines.push(...answerSection(section, taken[n], server)));
  return lines.join(NEW_LINE) + NEW_LINE;
}

function answerSection({ kind, mid }, parameters, { iceParameters, iceCandidates }) {
  if (parameters === null) return [`m=${kind} 0 UDP/TLS/RTP/SAVPF 0`, `a=mid:${mid}`, 'a=inactive'];
  const types = parameters.codecs.map(({ payloadType }) => payloadType).join(' ');
  return [
    `m=${kind} 9 UDP/TLS/RTP/SAVPF ${types}`,
    'c=IN IP4 0.0.0.0',
    `a=mid:${mid}`,
    `a=ice-ufrag:${iceParameters.usernameFragment}`,
    `a=ice-pwd:${iceParameters.password}`,
    ...iceCandidates.map(candidateLine),
    'a=end-of-candidates',
    'a=setup:passive',
    'a=recvonly',
    'a=rtcp-mux',
    'a=rtcp-rsize',
    ...parameters.codecs.flatMap(codecLines),
    ...parameters.headerExtensions.map(({ id, uri }) => `a=extmap:${id} ${uri}`),
  ];
}

function candidateLine({ foundation, priority, address, ip, protocol, port, type, tcpType }) {
  const tcp = tcpType ? ` tcptype ${tcpType}` : '';
  return `a=candidate:${foundation} 1 ${protocol} ${priority} ${address ?? ip} ${port} typ ${type}${tcp}`;
}

function codecLines({ mimeType, payloadType, clockRate, channels = 1, parameters = {}, rtcpFeedback = [] }) {
  const name = mimeType.split('/')[1];
  const settings = Object.entries(parameters).map(([key, value]) => `${key}=${value}`).join(';');
  return [
    `a=rtpmap:${payloadType} ${name}/${clockRate}${channels > 1 ? `/${channels}` : ''}`,
    ...(settings ? [`a=fmtp:${payloadType} ${settings}`] : []),
    ...rtcpFeedback.map(({ type, parameter }) => `a=rtcp-fb:${payloadType} ${type}${parameter ? ` ${parameter}` : ''}`),
  ];
}

function readSection(lines) {
  const kind = lines[0].slice(2).split(' ')[0];
  const types = lines[0].split(' ').slice(3).map(Number);
  const ssrcs = lines.filter((line) => line.startsWith('a=ssrc:'));
  const pair = valueOf(lines, 'a=ssrc-group:FID ')?.split(' ').map(Number) ?? [];
  return {
    kind,
    mid: valueOf(lines, 'a=mid:'),
    codecs: types.map((type) => readCodec(lines, kind, type)).filter(Boolean),
    extensions: lines.filter((line) => line.startsWith('a=extmap:')).map(readExtension),
    ssrc: pair[0] ?? Number(ssrcs[0]?.match(/^a=ssrc:(\d+)/)?.[1]),
    rtxSsrc: pair[1] ?? null,
    cname: ssrcs.map((line) => line.match(/ cname:(\S+)/)?.[1]).find(Boolean) ?? '',
  };
}

function readCodec(lines, kind, payloadType) {
  const map = valueOf(lines, `a=rtpmap:${payloadType} `);
  if (map === undefined) return null;
  const [name, clockRate, channels] = map.split('/');
  const feedback = lines.filter((line) => line.startsWith(`a=rtcp-fb:${payloadType} `)).map((line) => line.split(' ').slice(1));
  return {
    name: name.toLowerCase(),
    mimeType: `${kind}/${name}`,
    payloadType,
    clockRate: Number(clockRate),
    ...(channels && { channels: Number(channels) }),
    parameters: readSettings(valueOf(lines, `a=fmtp:${payloadType} `) ?? ''),
    rtcpFeedback: feedback.map(([type, ...rest]) => ({ type, ...(rest.length > 0 && { parameter: rest.join(' ') }) })),
  };
}

function readSettings(text) {
  const pairs = text.split(';').map((pair) => pair.trim()).filter((pair) => pair.includes('='));
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), numberOr(pair.slice(pair.indexOf('=') + 1))]));
}

function numberOr(text) {
  return /^\d{1,9}$/.test(text) && String(Number(text)) === text ? Number(text) : text;
}

function readExtension(line) {
  const [id, uri] = line.slice('a=extmap:'.length).split(' ');
  return { id: Number(id.split('/')[0]), uri };
}

/** A profile that the router does not know would be refused; levels may differ. */
function matches(own, other) {
  if (own.mimeType.toLowerCase() !== other.mimeType.toLowerCase() || own.clockRate !== other.clockRate) return false;
  if (own.name !== 'h264') return true;
  const mode = (settings) => Number(settings?.['packetization-mode'] ?? 0);
  const profile = (settings) => String(settings?.['profile-level-id'] ?? '42e01f').slice(0, 4).toLowerCase();
  return mode(own.parameters) === mode(other.parameters) && profile(own.parameters) === profile(other.parameters);
}

function valueOf(lines, start) {
  return lines.find((line) => line.startsWith(start))?.slice(start.length);
}
