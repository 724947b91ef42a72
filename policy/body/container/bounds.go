package container

// What the containers of one message may cost, all levels added. It is counted in
// bytes and members, never in time, so that the same message always has the same
// verdict.
const (
	maxLevels   = 5         // containers inside of each other
	maxMembers  = 10_000    // of all containers
	maxUnpacked = 512 << 20 // bytes
	maxRatio    = 200       // bytes unpacked for each that was sent

	// slack is what may be unpacked beyond maxRatio while a message comes in, since
	// what follows may make up for it. At its end nothing is.
	slack = 32 << 20

	// unpackerMemory is more than what an open container holds, with what reads its
	// members: the window and the tables of inflate, the stack of the coroutine, and
	// pieces of text.
	unpackerMemory = 256 << 10
)

// Bounds are kept for one message: what its containers have cost so far, and what was
// in them. Zip and Gzip read containers within them.
type Bounds struct {
	take func(bytes int) bool // asked before memory is held; nil: there is enough
	open []*unpacker          // the innermost last
	most int                  // that were open at one time: memory was taken for so many

	sent, unpacked int64
	members        int
	over           bool // one of them was crossed
	starved        bool // there was no memory
	closed         bool

	found Found
}

// Found is what was in the containers of a message.
type Found struct {
	Containers int // archives and compressed files, those inside of others too
	Encrypted  int // members that were not read for that
	Unknown    int // members that are compressed in a way that is not known here
}

// NewBounds begins with a message. take is asked before so many bytes are held;
// where it says no, nothing more is read. It may be nil.
func NewBounds(take func(bytes int) bool) *Bounds { return &Bounds{take: take} }

// Sent says that the message has so many bytes more, without transfer encodings.
func (b *Bounds) Sent(n int) { b.sent += int64(n) }

// Over reports whether a bound was crossed. Nothing is read from there on.
func (b *Bounds) Over() bool { return b.over }

// OverAtEnd is Over for a message that has ended.
func (b *Bounds) OverAtEnd() bool { return b.over || b.unpacked > maxRatio*b.sent }

// Starved reports whether memory was wanted and not there.
func (b *Bounds) Starved() bool { return b.starved }

// Found returns what was found so far.
func (b *Bounds) Found() Found { return b.found }

// Encrypted notes a file that is encrypted as a whole.
func (b *Bounds) Encrypted() { b.found.Encrypted++ }

// Close ends what is open, and reads no more of it.
func (b *Bounds) Close() {
	b.closed = true
	for len(b.open) > 0 {
		b.open[len(b.open)-1].abandon()
	}
}

// Done reports whether nothing more is to be read.
func (b *Bounds) Done() bool { return b.over || b.starved || b.closed }

// member notes the beginning of a member, and reports whether it may be read.
func (b *Bounds) member() bool {
	b.members++
	b.over = b.over || b.members > maxMembers
	return !b.Done()
}

// unpack notes that n bytes come out of a container, and reports whether they may be
// read.
func (b *Bounds) unpack(n int) bool {
	b.unpacked += int64(n)
	b.over = b.over || b.unpacked > maxUnpacked || b.unpacked > maxRatio*b.sent+slack
	return !b.Done()
}

// admit reports whether a container may be opened inside of level others.
func (b *Bounds) admit(level int) bool {
	b.over = b.over || level >= maxLevels
	if b.Done() {
		return false
	}
	if len(b.open) == b.most {
		if b.take != nil && !b.take(unpackerMemory) {
			b.starved = true
			return false
		}
		b.most++
	}
	b.found.Containers++
	return true
}
