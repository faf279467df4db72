/** SDP fragments as WHIP and WHEP send them after the offer (RFC 8840, RFC 9725). Pure. */

const NEW_LINE = '\r\n';

/** The candidates found since the last fragment, with what says whose they are. */
export function candidateFragment(offer, candidates, isComplete) {
  const { bundle, mediaLine, mid, ufrag, password } = identityOf(offer);
  const lines = [bundle, mediaLine, mid, ufrag, password, ...candidates.map((candidate) => `a=${candidate}`)];
  if (isComplete) lines.push('a=end-of-candidates');
  return lines.filter(Boolean).join(NEW_LINE) + NEW_LINE;
}

/** The credentials of an offer that restarts ICE, without candidates. */
export function restartFragment(offer) {
  return candidateFragment(offer, [], false);
}

/** `answer` with the credentials and candidates of the `fragment` that the server answered a restart with. */
export function restartedAnswer(answer, fragment) {
  const fresh = linesOf(fragment);
  const ufrag = fresh.find((line) => line.startsWith('a=ice-ufrag:'));
  const password = fresh.find((line) => line.startsWith('a=ice-pwd:'));
  if (!ufrag || !password) throw new Error('the server restarted ICE without telling its credentials');
  const candidates = fresh.filter((line) => line.startsWith('a=candidate:'));
  const kept = linesOf(answer).filter((line) => candidates.length === 0 || !isCandidate(line));
  const replaced = kept.map((line) => replacedBy(line, ufrag, password));
  // One transport carries it all, so that the first section is where candidates belong.
  const place = replaced.findIndex((line) => line.startsWith('a=mid:')) + 1;
  return [...replaced.slice(0, place), ...candidates, ...replaced.slice(place)].join(NEW_LINE) + NEW_LINE;
}

/** `answer`, saying what bit rate video should begin with; Chromium takes half a minute to find out by itself. */
export function startingAt(answer, bitrate) {
  const word = `;x-google-start-bitrate=${Math.round(bitrate / 1000)}`;
  const [session, ...sections] = answer.split(/(?=^m=)/m);
  const begun = sections.map((section) => (section.startsWith('m=video') ? section.replace(/^(a=fmtp:\d+ (?!apt=).*?)(\r?)$/gm, `$1${word}$2`) : section));
  return [session, ...begun].join('');
}

function replacedBy(line, ufrag, password) {
  if (line.startsWith('a=ice-ufrag:')) return ufrag;
  return line.startsWith('a=ice-pwd:') ? password : line;
}

function isCandidate(line) {
  return line.startsWith('a=candidate:') || line === 'a=end-of-candidates';
}

function identityOf(offer) {
  const lines = linesOf(offer);
  const first = (start) => lines.find((line) => line.startsWith(start));
  return {
    bundle: first('a=group:BUNDLE'),
    mediaLine: first('m='),
    mid: first('a=mid:'),
    ufrag: first('a=ice-ufrag:'),
    password: first('a=ice-pwd:'),
  };
}

function linesOf(text) {
  return text.split(/\r?\n/).filter(Boolean);
}
