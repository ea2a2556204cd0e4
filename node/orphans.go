package node

import "truceline/treaty"

// orphans are revealed batches whose seal has not been ordered here yet, a few of each peer that showed them: the order is
// a fraction of a second behind at most, and what is lost here is asked for once its seal comes.
type orphans map[treaty.Nation][]orphan

type orphan struct {
	digest treaty.Hash
	raw    []byte
}

// maxOrphans bounds what is kept of one peer: 8 of at most 2 MiB, the newest.
const maxOrphans = 8

func (o orphans) keep(from treaty.Nation, digest treaty.Hash, raw []byte) {
	if len(raw) > treaty.MaxBatch {
		return
	}
	list := o[from]
	for _, x := range list {
		if x.digest == digest {
			return
		}
	}
	if len(list) == maxOrphans {
		list = append(list[:0], list[1:]...)
	}
	o[from] = append(list, orphan{digest, raw})
}

// take removes a batch, whoever showed it; nil if there is none.
func (o orphans) take(digest treaty.Hash) (raw []byte) {
	for from, list := range o {
		kept := list[:0]
		for _, x := range list {
			if x.digest == digest {
				raw = x.raw
				continue
			}
			kept = append(kept, x)
		}
		if o[from] = kept; len(kept) == 0 {
			delete(o, from)
		}
	}
	return raw
}
