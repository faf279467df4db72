// A client of WHIP and WHEP as the standards describe one: it trickles, and restarts ICE by PATCH.

class HttpPeer {
  constructor(endpoint, bearer) {
    this.endpoint = endpoint;
    this.headers = bearer ? { Authorization: `Bearer ${bearer}` } : {};
    this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.statuses = [];
    this.candidates = [];
    this.peer.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate) this.candidates.push(`a=${candidate.candidate}`);
    };
  }

  async publish(encodings, width = 320) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width } });
    for (const track of stream.getTracks()) {
      const sendEncodings = track.kind === "video" && encodings ? encodings : [{}];
      this.peer.addTransceiver(track, { direction: "sendonly", streams: [stream], sendEncodings });
    }
    await this.open();
  }

  async play(kinds) {
    const video = document.createElement("video");
    video.muted = video.autoplay = true;
    video.srcObject = new MediaStream();
    document.body.append(video);
    this.peer.ontrack = ({ track }) => video.srcObject.addTrack(track);
    for (const kind of kinds) this.peer.addTransceiver(kind, { direction: "recvonly" });
    await this.open();
  }

  async open() {
    await this.peer.setLocalDescription();
    const response = await this.fetch("POST", this.endpoint, "application/sdp", this.peer.localDescription.sdp);
    if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
    this.session = new URL(response.headers.get("Location"), this.endpoint).href;
    this.tag = response.headers.get("ETag");
    this.answer = await response.text();
    await this.peer.setRemoteDescription({ type: "answer", sdp: this.answer });
  }

  async trickle() {
    await this.patch(this.tag);
  }

  async restart() {
    this.candidates = [];
    this.peer.restartIce();
    await this.peer.setLocalDescription();
    const response = await this.patch("*");
    this.tag = response.headers.get("ETag");
    const fragment = await response.text();
    for (const name of ["ice-ufrag", "ice-pwd"]) {
      const line = fragment.match(new RegExp(`a=${name}:.*`))[0];
      this.answer = this.answer.replace(new RegExp(`a=${name}:.*`, "g"), line);
    }
    await this.peer.setRemoteDescription({ type: "answer", sdp: this.answer });
  }

  patch(tag) {
    const lines = this.peer.localDescription.sdp.split("\r\n");
    const credentials = ["a=ice-ufrag", "a=ice-pwd"].map((name) => lines.find((line) => line.startsWith(name)));
    const section = ["m=audio 9 UDP/TLS/RTP/SAVPF 0", lines.find((line) => line.startsWith("a=mid:"))];
    const body = [...credentials, ...section, ...this.candidates, ""].join("\r\n");
    return this.fetch("PATCH", this.session, "application/trickle-ice-sdpfrag", body, { "If-Match": tag });
  }

  async fetch(method, url, type, body, more = {}) {
    const headers = { ...this.headers, ...more, ...(type && { "Content-Type": type }) };
    const response = await fetch(url, { method, headers, body });
    this.statuses.push(response.status);
    return response;
  }

  close() {
    return this.fetch("DELETE", this.session);
  }

  async figures() {
    const found = { framesDecoded: 0, audioPackets: 0, state: this.peer.connectionState, fragment: "" };
    for (const entry of (await this.peer.getStats()).values()) {
      if (entry.type === "inbound-rtp" && entry.kind === "video") found.framesDecoded = entry.framesDecoded;
      if (entry.type === "inbound-rtp" && entry.kind === "audio") found.audioPackets = entry.packetsReceived;
      if (entry.type === "transport") found.fragment = entry.iceLocalUsernameFragment;
    }
    return found;
  }
}
