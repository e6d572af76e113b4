struct Opaque;

fn main() {
    rollway::info!("{} {}", 1, Opaque);
    rollway::info!("{:?}", Opaque);
    rollway::info!("{:>5}", Opaque);
    rollway::info!("{}", Some(1));
    rollway::info!("{:x}", 1.5);
}
