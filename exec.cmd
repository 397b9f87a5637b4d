@rem npm's scripts begin with the shell's exec, so that signals reach what they start. Windows' shell has none.
@%*
