using System.IO.Compression;
using System.IO.Hashing;
using System.Text;

namespace Platform.Templates;

/// <summary>
/// Unpacks an untrusted zip. The sizes in its headers are not trusted: sizes are counted while inflating and checksums compared, so that a zip bomb or a false header is
/// refused at the first excess byte.
/// </summary>
internal static class BundleArchive
{
    /// <summary>Largest size of a zip in bytes: 50 MiB.</summary>
    public const int MaxBundleSize = 50 * 1024 * 1024;

    /// <summary>Largest size of all entries together when inflated: 100 MiB.</summary>
    public const int MaxInflatedSize = 100 * 1024 * 1024;

    /// <summary>Largest number of entries, including folders and files that are ignored.</summary>
    public const int MaxEntries = 5_000;

    /// <summary>Largest compression ratio of an entry.</summary>
    public const int MaxRatio = 100;

    /// <summary>The longest path of an entry, in characters.</summary>
    public const int MaxPathLength = 200;

    /// <summary>The entry name used for issues that concern the whole bundle.</summary>
    public const string WholeBundle = "bundle";

    // The ratio of smaller entries is not checked.
    private const int HarmlessSize = 16 * 1024;

    private static readonly string[] Clutter = ["__MACOSX", "Thumbs.db", "desktop.ini", "node_modules"];
    private static readonly string[] RootClutter = ["package.json", "package-lock.json"];
    private static readonly string[] RootDocuments = ["README", "LICENSE", "LICENCE", "CHANGELOG", "NOTICE", "COPYING"];

    /// <summary>
    /// The files of a zip by path; null if there were issues. Paths have slashes and composed characters (NFC) whatever the zip has. Left out are a folder around everything, and
    /// what systems and authors leave in folders: hidden files, <c>__MACOSX</c>, <c>Thumbs.db</c>, and at the root README, LICENSE and the like.
    /// </summary>
    /// <param name="zip">At most <see cref="MaxBundleSize"/> bytes.</param>
    /// <param name="issues">Collects what is wrong.</param>
    /// <param name="exact">False if the files differ from the zip's, in path or number.</param>
    public static Dictionary<string, byte[]>? Read(byte[] zip, TemplateIssues issues, out bool exact)
    {
        exact = true;
        if (CountOfEntries(zip) is not { } count)
        {
            issues.Add(WholeBundle, "is not a zip file");
            return null;
        }
        if (count > MaxEntries)
        {
            issues.Add(WholeBundle, $"has more than {MaxEntries} entries");
            return null;
        }

        try
        {
            using var archive = new ZipArchive(new MemoryStream(zip, writable: false), ZipArchiveMode.Read);
            return ReadEntries(archive, issues, ref exact);
        }
        catch (InvalidDataException e)
        {
            issues.Add(WholeBundle, $"is not a zip file that can be read: {e.Message}");
            return null;
        }
    }

    private static Dictionary<string, byte[]>? ReadEntries(ZipArchive archive, TemplateIssues issues, ref bool exact)
    {
        // Clamped because a false header can state a size of up to 2^63, which would overflow the sum.
        if (archive.Entries.Sum(e => Math.Clamp(e.Length, 0, MaxInflatedSize + 1L)) > MaxInflatedSize)
        {
            issues.Add(WholeBundle, $"would be larger than {MaxInflatedSize} bytes when unzipped");
            return null;
        }

        var named = new List<(string Path, ZipArchiveEntry Entry)>();
        foreach (var entry in archive.Entries)
        {
            if ((CheckPath(entry.FullName, out var path) ?? CheckKind(entry)) is { } problem)
                issues.Add(Shown(entry.FullName), problem);
            else if (!path.EndsWith('/') && !IsClutter(path))
                named.Add((path, entry));
        }
        var root = CommonFolder(named);

        var files = new Dictionary<string, byte[]>();
        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        var room = MaxInflatedSize;
        foreach (var (full, entry) in named)
        {
            var path = full[root.Length..];
            if (IsRootClutter(path))
                continue;
            exact &= path == entry.FullName;
            var problem = names.Add(path) ? Inflate(entry, room, out var content) : Report("is there twice (upper and lower case are the same)", out content);
            if (problem is not null)
                issues.Add(Shown(full), problem);
            else
                files.Add(path, content!);
            room -= content?.Length ?? 0;
        }
        exact &= files.Count == archive.Entries.Count(e => !e.FullName.EndsWith('/'));
        return issues.Any ? null : files;
    }

    private static string Report(string problem, out byte[]? content)
    {
        content = null;
        return problem;
    }

    private static string Shown(string path) => path.Length <= MaxPathLength ? path : path[..MaxPathLength] + "…";

    private static bool IsClutter(string path) =>
        path.Split('/').Any(segment => segment.StartsWith('.') || Clutter.Contains(segment, StringComparer.OrdinalIgnoreCase));

    private static bool IsRootClutter(string path) => !path.Contains('/', StringComparison.Ordinal)
        && (RootClutter.Contains(path, StringComparer.OrdinalIgnoreCase) || RootDocuments.Contains(path.Split('.')[0], StringComparer.OrdinalIgnoreCase));

    /// <summary>The folder around everything, with a slash, or "".</summary>
    private static string CommonFolder(List<(string Path, ZipArchiveEntry Entry)> named)
    {
        if (named.Count == 0 || named.Exists(f => f.Path == TemplateManifest.Entry))
            return "";
        var folder = named[0].Path[..(named[0].Path.IndexOf('/', StringComparison.Ordinal) + 1)];
        return folder.Length > 0 && named.TrueForAll(f => f.Path.StartsWith(folder, StringComparison.Ordinal)) && named.Exists(f => f.Path == folder + TemplateManifest.Entry)
            ? folder
            : "";
    }

    private static string? CheckPath(string name, out string path)
    {
        // Old Windows programs write backslashes, and macOS decomposed characters.
        path = name.Replace('\\', '/').Normalize(NormalizationForm.FormC);
        if (path.Length is 0 or > MaxPathLength)
            return $"must have a path of 1 to {MaxPathLength} characters";
        if (path.StartsWith('/') || (path.Length > 1 && path[1] == ':'))
            return "has an absolute path";
        var segments = path.TrimEnd('/').Split('/');
        if (segments.Contains(".."))
            return "has .. in its path, which leads out of the bundle";
        if (segments.Any(s => s.Length == 0 || s == "." || s.EndsWith('.') || s.StartsWith(' ') || s.EndsWith(' ')))
            return "has a part in its path that is empty, ends with a dot, or begins or ends with a space";
        return path.All(c => char.IsLetterOrDigit(c) || char.IsSurrogate(c) || char.GetUnicodeCategory(c) is System.Globalization.UnicodeCategory.NonSpacingMark
                or System.Globalization.UnicodeCategory.SpacingCombiningMark || " ._-/()+,@&!'~=[]".Contains(c, StringComparison.Ordinal))
            ? null
            : "has a character in its path that file names can't have everywhere, such as : * ? \" < > |";
    }

    private static string? CheckKind(ZipArchiveEntry entry)
    {
        const int Regular = 0x8000, Directory = 0x4000, Link = 0xA000;
        if (entry.IsEncrypted)
            return "is encrypted";
        // The file type of Unix' st_mode is in the upper half; 0 comes from programs that don't know one.
        var type = (entry.ExternalAttributes >> 16) & 0xF000;
        if (type == Link)
            return "is a symbolic link";
        if (type is not (0 or Regular or Directory))
            return "is neither a file nor a folder";
        if (entry.FullName.EndsWith('/') && entry.Length > 0)
            return "is a folder with content";
        return entry.Length > HarmlessSize && entry.Length > MaxRatio * Math.Max(entry.CompressedLength, 1)
            ? $"is more than {MaxRatio} times larger than its compressed form"
            : null;
    }

    private static string? Inflate(ZipArchiveEntry entry, int room, out byte[]? content)
    {
        content = null;
        if (entry.Length > room)
            return $"makes the bundle larger than {MaxInflatedSize} bytes when unzipped";
        try
        {
            using var stream = entry.Open();
            var buffer = new byte[entry.Length];
            var read = stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            if (read < buffer.Length || stream.ReadByte() >= 0)
                return "is not of the size that the zip states";
            if (Crc32.HashToUInt32(buffer) != entry.Crc32)
                return "does not have the checksum that the zip states; the bundle is corrupt";
            content = buffer;
            return null;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or NotSupportedException)
        {
            return $"can't be unzipped: {e.Message}";
        }
    }

    /// <summary>
    /// The number of entries according to the zip's end record; null if there is no such record. Checked before the directory is read, because that allocates an
    /// object for each entry, and 50 MiB can hold some million.
    /// </summary>
    private static int? CountOfEntries(ReadOnlySpan<byte> zip)
    {
        const int RecordLength = 22, LongestComment = ushort.MaxValue;
        var tail = zip[Math.Max(0, zip.Length - RecordLength - LongestComment)..];
        var record = tail.LastIndexOf("PK\u0005\u0006"u8);
        return record < 0 || tail.Length - record < RecordLength
            ? null
            : System.Buffers.Binary.BinaryPrimitives.ReadUInt16LittleEndian(tail[(record + 10)..]);
    }

    /// <summary>Packs files into a zip. The same files give the same bytes in every build.</summary>
    public static byte[] Pack(IEnumerable<KeyValuePair<string, byte[]>> files)
    {
        using var zip = new MemoryStream();
        using (var archive = new ZipArchive(zip, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (path, content) in files.OrderBy(f => f.Key, StringComparer.Ordinal))
            {
                // Not compressed, because the output of a compressor may differ between versions, which would change the digest.
                var entry = archive.CreateEntry(path, CompressionLevel.NoCompression);
                entry.LastWriteTime = new DateTimeOffset(1980, 1, 1, 0, 0, 0, TimeSpan.Zero);
                entry.ExternalAttributes = 0;
                using var target = entry.Open();
                target.Write(content);
            }
        }
        return zip.ToArray();
    }
}
