module differential

go 1.26.0

require (
	golang.org/x/net v0.62.0
	golang.org/x/text v0.43.0
	sendguard v0.0.0
	sendguard.before v0.0.0
)

replace sendguard => ../../..

// run puts the version to compare with there, and takes it away.
replace sendguard.before => ./before
