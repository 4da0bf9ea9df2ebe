# What completes is click's, of the version that is installed: a script made at build time might not fit it.
_JOBLETD_COMPLETE=fish_source jobletd | source
