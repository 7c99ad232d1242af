from numba.core.runtime.nrt import _Runtime

rtsys: _Runtime
