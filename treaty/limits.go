package treaty

// Every maximum, with the sum that gives it. A limit is checked before the bytes behind it are parsed.
const (
	// MaxNations bounds the roster: about 35 guarantors are planned; a full mesh and n signatures per checkpoint
	// stay small up to here.
	MaxNations = 40
	// MinNations is the smallest network with f >= 1: n >= 3f+1.
	MinNations = 4

	// MaxRecord bounds one signed record, so that it fits in a ledger entry: C2SP tlog-tiles gives an entry a
	// 16-bit length.
	MaxRecord = 65_535
	// MaxPayload leaves room in MaxRecord for headers (under 256 bytes) and one signature (64; 2,420 for ML-DSA-44).
	MaxPayload = MaxRecord - 4_096
	// MaxStatements bounds the two statements of one misbehaviour: what MaxPayload leaves beside number, time and frame.
	// Two attestations fit unless each cites more than about 700 seals.
	MaxStatements = MaxPayload - 256

	// MaxDetections is what one node may take in during one window: 200 sensors x 20 picks.
	MaxDetections = 4_096
	// MaxDetection bounds one encoded detection: a human report with 2,048 bytes of text and its numbers.
	MaxDetection = 4_096
	// MaxBatch bounds one revealed batch. 4,096 arrivals of about 160 bytes are 640 KiB; long reports share the rest.
	MaxBatch = 2 << 20

	// MaxCites bounds the detections one incident or attestation names: 40 nations x 25.
	// 40 seals x 34 bytes + 1,000 indexes x 3 bytes is about 5 KiB.
	MaxCites = 1_024
	// MaxCitedSeals bounds the seals they lie in: 40 nations x 24 windows of 2 s is the travel time over 15 km.
	MaxCitedSeals = 960

	// MaxReasons bounds the reason codes of one assessment; there are fewer kinds than this.
	MaxReasons = 16
	// MaxText bounds one free text in signed bytes (remark, report, clause).
	MaxText = 2_048
	// MaxName bounds one identifier (sensor, clause, zone).
	MaxName = 64

	// MaxAccord bounds an accord's canonical bytes: a 3,000-vertex line is 60 KiB, 40 nations x 3 keys 6 KiB.
	MaxAccord = 1 << 20
	// MaxAccordFile bounds the YAML or GeoJSON that people write: 4 characters for each canonical byte.
	MaxAccordFile = 4 << 20
	// MaxFounding bounds a founding document: an accord and MaxNations signatures of under 512 bytes.
	MaxFounding = MaxAccord + MaxNations*512 + 64
	// MaxVertices bounds one line or ring: the published line of contact has about 2,900.
	MaxVertices = 20_000
	// MaxClauses bounds the nodes of the clause tree.
	MaxClauses = 256
	// MaxZones bounds the zones.
	MaxZones = 256

	// MaxVote bounds one finality message: a wish carries one prepare certificate of MaxNations signatures
	// (40 x 72 = 2,880) and a proposal MaxNations wishes that each carry one: 40 x 3.2 KiB = 128 KiB.
	MaxVote = 192 << 10
	// MaxCertificate bounds a certificate: 40 signatures and one checkpoint.
	MaxCertificate = 8 << 10
	// MaxElection bounds an election certificate: 40 signatures of 74 bytes and one vote.
	MaxElection = 4 << 10
	// MaxHead bounds a signed head: header (256), payload (100), signature (64), framing.
	MaxHead = 512
	// MaxComplaint bounds a signed complaint: header (256), payload (70), signature (64), framing.
	MaxComplaint = 512
	// MaxCheckpointNote bounds a cosigned checkpoint: 41 signature lines of about 200 bytes.
	MaxCheckpointNote = 32 << 10
	// MaxProof bounds a tlog-proof: 63 hashes of 45 characters and the checkpoint.
	MaxProof = 48 << 10
	// MaxPolicy bounds a policy file: 40 witness lines and a group line of 40 names.
	MaxPolicy = 64 << 10
)
