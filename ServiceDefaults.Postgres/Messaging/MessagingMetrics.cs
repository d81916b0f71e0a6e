using System.Diagnostics.Metrics;
using Platform.ServiceDefaults.Observability;

namespace Platform.ServiceDefaults.Postgres.Messaging;

internal sealed class MessagingMetrics
{
    private readonly Counter<long> _sent;
    private readonly Counter<long> _received;
    private readonly Histogram<double> _age;
    private readonly TimeProvider _time;

    public MessagingMetrics(IMeterFactory meters, TimeProvider time)
    {
        _time = time;
        var meter = meters.CreateMeter("messaging");
        _sent = meter.CreateCounter<long>("platform.messaging.sent", "{message}", "Deliveries by destination, type and outcome.");
        _received = meter.CreateCounter<long>("platform.messaging.received", "{message}", "Messages received by source, type and outcome.");
        _age = meter.CreateHistogram("platform.messaging.delivery.duration", "s", "Time from a message's creation to its acceptance, by destination.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800] });
    }

    public void Delivered(string destination, string type, DateTime createdAt)
    {
        Sent(destination, type, "delivered");
        _age.Record((_time.GetUtcNow().UtcDateTime - createdAt).TotalSeconds, new KeyValuePair<string, object?>("destination", destination));
    }

    public void Sent(string destination, string type, string outcome) =>
        _sent.Add(1, new("destination", destination), new("type", type), new("outcome", outcome));

    public void Received(string source, string type, string outcome) =>
        _received.Add(1, new("source", source), new("type", type), new("outcome", outcome));
}
