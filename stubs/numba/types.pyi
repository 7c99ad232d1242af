class Type:
    def __call__(self, *arguments: Type) -> object: ...

class Float(Type): ...
class Integer(Type): ...

float32: Float
float64: Float
int32: Integer
int64: Integer
