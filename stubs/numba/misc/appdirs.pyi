class AppDirs:
    def __init__(
        self,
        appname: str,
        appauthor: bool | str | None = None,
        version: str | None = None,
        roaming: bool = False,
        multipath: bool = False,
    ) -> None: ...
    @property
    def user_cache_dir(self) -> str: ...
