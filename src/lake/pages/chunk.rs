//! One column of a row group in the making: its pages, and in the end what the footer says of it.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::LazyCompressor;
use super::bounds::{self, Bounds, Order};
use super::dictionary::Dictionary;

/// A column chunk in the making.
#[derive(Debug)]
pub(in crate::lake) struct Chunk {
    pub(super) column: ColumnDescPtr,
    pub(super) order: Order,
    /// How values are encoded that are in no dictionary.
    pub(super) encoding: Encoding,
    /// Stays when it is full, for the pages that are made with it.
    dictionary: Option<Dictionary>,
    /// Data pages as they will be in the file, but for where they begin.
    data: Vec<u8>,
    pages: Vec<DataPage>,
    /// The bytes of the pages before compression, headers included.
    uncompressed: usize,
}

/// What is known of a page.
#[derive(Debug)]
struct DataPage {
    start: usize,
    size: usize,
    encoding: Encoding,
    counts: Counts,
    bounds: Option<Bounds>,
}

/// What is in a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) rows: usize,
    /// Levels: values, and places without one.
    pub(super) values: usize,
    pub(super) nulls: usize,
}

/// The body of a page, compressed.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) uncompressed: usize,
}

impl Chunk {
    pub(super) fn new(column: ColumnDescPtr, order: Order, encoding: Encoding, with_dictionary: bool) -> Self {
        let dictionary = with_dictionary.then(Dictionary::new);
        Self { column, order, encoding, dictionary, data: Vec::new(), pages: Vec::new(), uncompressed: 0 }
    }

    /// The dictionary, while it takes further values.
    pub(super) fn dictionary(&mut self) -> Option<&mut Dictionary> {
        self.dictionary.as_mut().filter(|dictionary| !dictionary.is_full())
    }

    /// Appends a data page.
    pub(super) fn push(
        &mut self,
        body: Body,
        encoding: Encoding,
        counts: Counts,
        bounds: Option<Bounds>,
    ) -> Result<(), ParquetError> {
        let start = self.data.len();
        let page = Page::DataPage {
            buf: body.bytes,
            num_values: counts.values as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.uncompressed += write(page, body.uncompressed, &mut self.data)?;
        self.pages.push(DataPage { start, size: self.data.len() - start, encoding, counts, bounds });
        Ok(())
    }

    /// The bytes it takes in memory.
    pub(in crate::lake) fn memory(&self) -> usize {
        let pages = self.pages.len() * (size_of::<DataPage>() + 64);
        self.data.capacity() + pages + self.dictionary.as_ref().map_or(0, Dictionary::memory)
    }

    /// The bytes it will have in the file, roughly.
    pub(in crate::lake) fn encoded(&self) -> usize {
        self.data.len() + self.dictionary.as_ref().map_or(0, |dictionary| dictionary.plain_size() / 2)
    }

    /// All its pages, and what the footer says of them.
    pub(super) fn close(mut self, compressor: &mut LazyCompressor) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        let is_used = self.pages.iter().any(|page| page.encoding == Encoding::RLE_DICTIONARY);
        let mut bytes = Vec::new();
        if let Some(dictionary) = self.dictionary.take().filter(|_| is_used) {
            let plain = dictionary.plain(matches!(self.order, Order::Bytes { .. }));
            let mut compressed = Vec::new();
            super::compress(compressor, &plain, &mut compressed)?;
            let body = Body { bytes: compressed.into(), uncompressed: plain.len() };
            let (buf, num_values) = (body.bytes, dictionary.len() as u32);
            let page = Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false };
            self.uncompressed += write(page, body.uncompressed, &mut bytes)?;
        }
        let start = bytes.len();
        if is_used {
            bytes.append(&mut self.data)
        } else {
            bytes = std::mem::take(&mut self.data)
        }
        let result = self.result(start, bytes.len())?;
        Ok((bytes.into(), result))
    }

    fn result(&self, start: usize, size: usize) -> Result<ColumnCloseResult, ParquetError> {
        let sum = |of: fn(&Counts) -> usize| self.pages.iter().map(|page| of(&page.counts)).sum::<usize>();
        let rows = sum(|counts| counts.rows) as u64;
        let mut all: Option<Bounds> = None;
        for bounds in self.pages.iter().filter_map(|page| page.bounds.as_ref()) {
            match &mut all {
                Some(all) => all.widen(bounds, self.order),
                none => *none = Some(bounds.clone()),
            }
        }
        let nulls = sum(|counts| counts.nulls) as u64;
        let statistics = bounds::statistics(&self.column, self.order, all.as_ref(), nulls);
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(super::super::file::ZSTD_LEVEL)?))
            .set_encodings(self.encodings(start > 0))
            .set_page_encoding_stats(self.encoding_stats(start > 0))
            .set_total_compressed_size(size as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(sum(|counts| counts.values) as i64)
            .set_data_page_offset(start as i64)
            .set_dictionary_page_offset((start > 0).then_some(0))
            .set_statistics(statistics)
            .build()?;
        let mut places = OffsetIndexBuilder::new();
        for page in &self.pages {
            places.append_row_count(page.counts.rows as i64);
            places.append_offset_and_size((start + page.start) as i64, page.size as i32);
        }
        Ok(ColumnCloseResult {
            bytes_written: size as u64,
            rows_written: rows,
            metadata,
            bloom_filter: None,
            column_index: Some(self.column_index()?),
            offset_index: Some(places.build()),
        })
    }

    fn column_index(&self) -> Result<ColumnIndexMetaData, ParquetError> {
        let mut index = ColumnIndexBuilder::new(self.column.physical_type());
        // Numbers from JSON are never NaN.
        let not_numbers = (self.order == Order::Double).then_some(0);
        for page in &self.pages {
            let bounds = page.bounds.clone().map(|bounds| bounds.cut(self.order));
            let is_null = bounds.is_none();
            let Bounds { least, greatest } = bounds.unwrap_or_else(Bounds::none);
            index.append(is_null, least, greatest, page.counts.nulls as i64, not_numbers);
        }
        index.set_boundary_order(self.boundary_order());
        index.build()
    }

    /// Whether pages go up or down, so that readers can search them.
    fn boundary_order(&self) -> parquet::basic::BoundaryOrder {
        use parquet::basic::BoundaryOrder;
        use std::cmp::Ordering;

        let bounds: Vec<&Bounds> = self.pages.iter().filter_map(|page| page.bounds.as_ref()).collect();
        let no_pair_goes = |way: Ordering| {
            bounds.windows(2).all(|pair| {
                self.order.compare(&pair[0].least, &pair[1].least) != way
                    && self.order.compare(&pair[0].greatest, &pair[1].greatest) != way
            })
        };
        if no_pair_goes(Ordering::Greater) {
            BoundaryOrder::ASCENDING
        } else if no_pair_goes(Ordering::Less) {
            BoundaryOrder::DESCENDING
        } else {
            BoundaryOrder::UNORDERED
        }
    }

    fn encodings(&self, has_dictionary: bool) -> Vec<Encoding> {
        let mut all = vec![Encoding::RLE];
        let of_dictionary = has_dictionary.then_some(Encoding::PLAIN);
        for encoding in of_dictionary.into_iter().chain(self.pages.iter().map(|page| page.encoding)) {
            if !all.contains(&encoding) {
                all.push(encoding);
            }
        }
        all
    }

    fn encoding_stats(&self, has_dictionary: bool) -> Vec<PageEncodingStats> {
        let page = |page_type, encoding| PageEncodingStats { page_type, encoding, count: 1 };
        let mut all: Vec<_> =
            has_dictionary.then(|| page(PageType::DICTIONARY_PAGE, Encoding::PLAIN)).into_iter().collect();
        for data in &self.pages {
            match all.iter_mut().find(|of| of.page_type == PageType::DATA_PAGE && of.encoding == data.encoding) {
                Some(of) => of.count += 1,
                None => all.push(page(PageType::DATA_PAGE, data.encoding)),
            }
        }
        all
    }
}

/// Appends a page with its header and answers its size before compression, with the header.
fn write(page: Page, uncompressed: usize, out: &mut Vec<u8>) -> Result<usize, ParquetError> {
    let mut sink = TrackedWrite::new(out);
    let mut writer = SerializedPageWriter::new(&mut sink);
    let written = writer.write_page(CompressedPage::new(page, uncompressed))?;
    writer.close()?;
    Ok(written.uncompressed_size)
}
