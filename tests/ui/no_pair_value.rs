struct Opaque;

fn main() {
    rollway::info!(key = Opaque; "text");
    rollway::info!(key:? = Opaque; "text");
    rollway::info!(key:err = Opaque; "text");
}
